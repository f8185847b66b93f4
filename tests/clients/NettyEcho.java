import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.nio.NioSocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;

/** NettyEcho PORT COUNT: COUNT channels of one event loop; prints how many got their own bytes back. */
public class NettyEcho {
    static final AtomicInteger good = new AtomicInteger();
    static CountDownLatch open;

    static class Talk extends ChannelInboundHandlerAdapter {
        final String said;
        final StringBuilder heard = new StringBuilder();

        Talk(String said) {
            this.said = said;
        }

        @Override
        public void channelActive(ChannelHandlerContext context) {
            context.writeAndFlush(Unpooled.copiedBuffer(said, StandardCharsets.US_ASCII));
        }

        @Override
        public void channelRead(ChannelHandlerContext context, Object message) {
            ByteBuf bytes = (ByteBuf) message;
            heard.append(bytes.toString(StandardCharsets.US_ASCII));
            bytes.release();
            if (heard.length() >= said.length()) {
                good.addAndGet(heard.toString().equals(said) ? 1 : 0);
                context.close();
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]), count = Integer.parseInt(arguments[1]);
        open = new CountDownLatch(count);
        EventLoopGroup loop = new NioEventLoopGroup(1);
        Bootstrap bootstrap = new Bootstrap().group(loop).channel(NioSocketChannel.class);
        for (int number = 0; number < count; number++) {
            Talk talk = new Talk("this is client " + number + "\n");
            bootstrap.clone().handler(talk).connect("127.0.0.1", port).channel()
                    .closeFuture().addListener(done -> open.countDown());
        }
        open.await();
        System.out.println(good.get());
        System.exit(0);
    }
}
