import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;

/** Nio PORT COUNT: COUNT channels of one selector; prints how many got their own bytes back. */
public class Nio {
    /** What a channel says, and how much of it came back. */
    record Talk(byte[] said, ByteBuffer heard) {}

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]), count = Integer.parseInt(arguments[1]);
        Selector selector = Selector.open();
        for (int number = 0; number < count; number++) {
            SocketChannel channel = SocketChannel.open();
            channel.configureBlocking(false);
            byte[] said = ("this is client " + number + "\n").getBytes();
            channel.register(selector, SelectionKey.OP_CONNECT, new Talk(said, ByteBuffer.allocate(said.length)));
            channel.connect(new InetSocketAddress("127.0.0.1", port));
        }
        int open = count, good = 0;
        while (open > 0) {
            selector.select();
            for (SelectionKey key : selector.selectedKeys()) {
                SocketChannel channel = (SocketChannel) key.channel();
                Talk talk = (Talk) key.attachment();
                if (key.isConnectable() && channel.finishConnect()) {
                    channel.write(ByteBuffer.wrap(talk.said()));
                    key.interestOps(SelectionKey.OP_READ);
                } else if (key.isReadable() && (channel.read(talk.heard()) < 0 || !talk.heard().hasRemaining())) {
                    good += java.util.Arrays.equals(talk.said(), talk.heard().array()) ? 1 : 0;
                    open--;
                    channel.close();
                }
            }
            selector.selectedKeys().clear();
        }
        System.out.println(good);
    }
}
