/**
 * The HTTP part of the demo: a handshake, a request, a response of which one segment is lost and sent again, the close.
 */
import type { Journey, JourneyRecord } from "../../observe/journey/mod.ts";
import type { DemoLab } from "./demo.ts";
import type { Teller } from "./teller.ts";

const PORT = 80;
const RESPONSE = 5000;
const IP_AT = 14;

/** Runs and tells it. */
export async function httpDemo(tell: Teller, hosts: DemoLab, trace: Journey): Promise<void> {
  const { machine, b } = hosts;
  tell.section("3", `an HTTP request from a to b; the second segment of the response is lost on the wire`);
  // A wire with a length: without one, everything would happen at the same moment.
  hosts.cable.change({ delayNs: 5e6 });
  const lost = loseSecondSegment(hosts);
  using listener = b.listen({ port: PORT, hostname: "10.0.0.2" });
  const [body] = await Promise.all([request(hosts), serve(listener)]);
  machine.runUntilIdle(2e9);
  lost[Symbol.dispose]();
  hosts.cable.change({ delayNs: 0 });
  tell.text("The connection: time runs down, an arrow is a segment, numbers count from the first of each side.\n");
  tell.ladder();
  tell.text("The way of three of its segments: the SYN, the segment that was lost and came again, and its ACK.\n");
  tell.journey(chosen(trace.records()));
  tell.text(`a received ${body} bytes of body, all ${RESPONSE} of them right\n`);
}

async function serve(listener: ReturnType<DemoLab["b"]["listen"]>): Promise<void> {
  using conn = await listener.accept();
  await conn.read(new Uint8Array(1024));
  const head = `HTTP/1.1 200 OK\r\nContent-Length: ${RESPONSE}\r\nConnection: close\r\n\r\n`;
  const body = "0123456789".repeat(RESPONSE / 10);
  await conn.write(new TextEncoder().encode(head + body));
}

/** Asks for `/`; how many bytes of body came, after a check of each. */
async function request({ a }: DemoLab): Promise<number> {
  using conn = await a.connect({ hostname: "10.0.0.2", port: PORT });
  await conn.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: b\r\n\r\n"));
  const buf = new Uint8Array(4096);
  let text = "";
  for (let n = await conn.read(buf); n !== null; n = await conn.read(buf)) {
    text += new TextDecoder().decode(buf.subarray(0, n));
  }
  const body = text.slice(text.indexOf("\r\n\r\n") + 4);
  const wrong = [...body].findIndex((c, i) => c !== String(i % 10));
  if (wrong >= 0) throw new Error(`Cannot go on: byte ${wrong} of the body is wrong`);
  return body.length;
}

/** The wire eats the second segment of b that carries a full load, once. */
function loseSecondSegment({ cable }: DemoLab): Disposable {
  let full = 0;
  cable.impair = (frame, to) => {
    const tcp = frame[IP_AT - 2] === 8 && frame[IP_AT + 9] === 6;
    return tcp && to === "eth0" && frame.length > 1400 && ++full === 2 ? null : frame;
  };
  return { [Symbol.dispose]: () => void (cable.impair = null) };
}

/** Ids of the packets whose whole way is shown. */
function chosen(records: readonly JourneyRecord[]): number[] {
  const ids: number[] = [];
  const syn = records.find((r) => r.segment?.brief === "SYN");
  if (syn !== undefined) ids.push(syn.id);
  const again = records.find((r) => r.point === "tcp:tcp_retransmit_skb");
  if (again !== undefined) ids.push(again.id);
  return ids;
}
