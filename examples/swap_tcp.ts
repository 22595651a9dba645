// deno run examples/swap_tcp.ts
//
// While 8 MB move through TCP, its congestion control is swapped, then the driver at either end. Frames that an old ring
// held are lost and counted, and TCP sends them again: the reader gets every byte.
import { createHost, type Host, Machine, type Plugin } from "@netpath/stack";
import { nicDevice, wire } from "@netpath/stack/nic";
import { TCP, tcpRegisterCongestionControl } from "@netpath/stack/tcp";

const BYTES = 8_000_000;

/** A congestion control named `mine` whose window never gets wider than `most` packets. */
function control(most: number): Plugin {
  return {
    name: "control",
    api: 1,
    setup: (net) =>
      tcpRegisterCongestionControl(net, {
        name: "mine",
        congAvoid: (tp, _ack, acked) => void (tp.sndCwnd = Math.min(tp.sndCwnd + acked, most)),
        ssthresh: () => most,
      }),
  };
}

using machine = new Machine({ seed: 1 });
const cable = wire(machine, { delayNs: 2e6, rateBps: 200e6 });
const hosts = ["a", "b"].map((name) => createHost({ machine, name, plugins: [nicDevice("eth0", { wire: cable })] }));
const [a, b] = hosts;
a.addr.add("eth0", "10.0.0.1/24");
b.addr.add("eth0", "10.0.0.2/24");
a.net.use(control(10));
a.net.get(TCP).setDefaultCongestionControl("mine");

/** Swaps the driver of a host; how many frames its old rings held. */
function swapDriver(host: Host): string {
  const before = host.net.dropped("QUEUE_PURGE");
  host.net.swap("nic-eth0", nicDevice("eth0", { rxRing: 512 }));
  return `${host.net.dropped("QUEUE_PURGE") - before} frames were in its old rings`;
}

const steps: [number, string, () => string][] = [
  [
    0.2,
    "the congestion control: 10 packets become 40",
    () => (a.net.swap("control", control(40)), "the window lives on"),
  ],
  [0.4, "the driver of a, which sends", () => swapDriver(a)],
  [0.6, "the driver of b, which receives", () => swapDriver(b)],
  [
    0.8,
    "the congestion control: 40 packets become 20",
    () => (a.net.swap("control", control(20)), "the window lives on"),
  ],
];

using listener = b.listen({ port: 9 });
const sending = (async () => {
  using conn = await a.connect({ hostname: "10.0.0.2", port: 9 });
  const p = new Uint8Array(50_000);
  for (let at = 0; at < BYTES; at += p.length) {
    for (let i = 0; i < p.length; i++) p[i] = (at + i) % 251;
    await conn.write(p);
  }
})();

using conn = await listener.accept();
const p = new Uint8Array(20_000);
let got = 0;
let wrong = 0;
let since = { time: machine.now, got };
const rate = () => ((got - since.got) * 8e3 / (machine.now - since.time)).toFixed(0).padStart(3);
for (let n = await conn.read(p); n !== null; n = await conn.read(p)) {
  for (let i = 0; i < n; i++) if (p[i] !== (got + i) % 251) wrong++;
  got += n;
  if (steps.length === 0 || got < BYTES * steps[0][0]) continue;
  const [, what, swap] = steps.shift()!;
  console.log(`${rate()} Mbit/s; then ${what}: ${swap()}`);
  since = { time: machine.now, got };
}
console.log(`${rate()} Mbit/s; the end`);
await sending;
console.log(`${got} bytes came, ${wrong} of them wrong`);
