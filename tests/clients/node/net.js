// net.js PORT COUNT: COUNT sockets at once; prints how many got their own bytes back.
const net = require("net");
const [port, count] = process.argv.slice(2).map(Number);

function one(number) {
  return new Promise((resolve, reject) => {
    const said = `this is client ${number}\n`;
    const socket = net.connect(port, "127.0.0.1", () => socket.write(said));
    let heard = "";
    socket.on("error", reject);
    socket.on("data", (data) => {
      heard += data;
      if (heard.length >= said.length) socket.end();
    });
    socket.on("close", () => resolve(heard === said));
  });
}

Promise.all([...Array(count).keys()].map(one)).then((good) => console.log(good.filter(Boolean).length));
