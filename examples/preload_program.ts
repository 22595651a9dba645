// deno run --preload examples/preload.ts examples/preload_program.ts
//
// A program as any other: Deno's and Node's network, and not a word about netpath. See preload.ts.
import { once } from "node:events";
import { connect } from "node:net";

console.log("fetch       ", await (await fetch("http://api.test/one")).text());

const conn = await Deno.connect({ hostname: "api.test", port: 80 });
await conn.write(new TextEncoder().encode("GET /two HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n"));
const answer = await new Response(conn.readable).text();
console.log("Deno.connect", answer.split("\r\n").find((line) => line.startsWith("/two")));

const socket = connect(80, "api.test");
socket.end("GET /three HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n");
let text = "";
for await (const chunk of socket) text += chunk;
console.log("node:net    ", text.split("\r\n").find((line) => line.startsWith("/three")));

const [error] = await once(connect(81, "api.test"), "error");
console.log("port 81     ", error.message);
