/** `netpath trace`: which packets are shown, whole, and what that costs in memory. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { main } from "../../../cli.ts";
import type { JourneyRecord } from "../../../plugins/observe/journey/mod.ts";
import { PacketWatch } from "../../../plugins/lab/cli/watch.ts";
import { createLab } from "../../../plugins/lab/mod.ts";

const LABS = new URL("../../../examples/labs/", import.meta.url).pathname;

async function cli(args: string[], look: { color?: boolean; width?: number } = {}) {
  const out: string[] = [];
  const err: string[] = [];
  const io = { log: (t: string) => out.push(t), error: (t: string) => err.push(t), color: false, width: 140, ...look };
  const code = await main(["trace", ...args], io);
  return { code, out: out.join("\n"), err: err.join("\n") };
}

async function json(...args: string[]): Promise<JourneyRecord[]> {
  const { code, out } = await cli(["--json", ...args]);
  assertEquals(code, 0);
  return out === "" ? [] : out.split("\n").map((l) => JSON.parse(l));
}

/** Packets in one line each, in order of their first step. */
function packets(records: readonly JourneyRecord[]): string[] {
  const named = new Map<number, string>();
  for (const r of records) if (r.id !== 0 && r.packet !== "" && !named.has(r.id)) named.set(r.id, r.packet);
  return [...named.values()];
}

Deno.test("cli trace: a packet's way from socket to socket, and no other's", async () => {
  const { code, out, err } = await cli([`${LABS}two_hosts.yaml`, "--limit", "1", "icmp"]);
  assertEquals([code, err], [0, ""]);
  const steps = [
    "ping_v4_push_pending_frame",
    "eth_header",
    "ndo_start_xmit",
    "napi_build_skb",
    "ip_rcv",
    "icmp_rcv",
    "sent: off the TX ring",
  ];
  let at = 0;
  for (const step of steps) {
    const found = out.indexOf(step, at);
    assert(found >= at, step);
    at = found;
  }
  // The ARP request on the way is another packet.
  const headings = out.match(/^ +#\d+ .*$/gm)!.map((l) => l.trim().split(" ")[0]);
  assertEquals([...new Set(headings)], ["#1"]);
  assert(/^1 packet, \d+ steps, 0 drops; \d+ more packets left out \(--limit\)$/.test(out.split("\n").at(-1)!));
  for (const line of out.split("\n")) assert(line.length <= 140, line);
  const narrow = await cli([`${LABS}two_hosts.yaml`, "--limit", "1", "--width", "80", "--no-remarks", "icmp"]);
  for (const line of narrow.out.split("\n")) assert(line.length <= 80, line);
  assert((await cli([`${LABS}two_hosts.yaml`, "--limit", "1", "icmp"], { color: true })).out.includes("\x1b["));
  assert(
    !(await cli(["--no-color", `${LABS}two_hosts.yaml`, "--limit", "1", "icmp"], { color: true })).out.includes(
      "\x1b[",
    ),
  );
});

Deno.test("cli trace: expressions choose by protocol, port and host of the lab; --on by host", async () => {
  const lab = `${LABS}custom_plugin.yaml`;
  assertEquals(packets(await json(lab, "udp", "dst", "port", "9")), ["UDP 10.0.0.1:4000 > 10.0.0.2:9, 4 bytes"]);
  assertEquals(packets(await json(lab, "arp")).length, 2);
  assertEquals(packets(await json(lab, "src", "a", "and", "udp")).length, 2);
  assertEquals(packets(await json(lab, "udp and not (port 7 or port 9)")), []);
  const all = await json(lab, "udp dst port 9");
  const b = await json("--on", "b", lab, "udp dst port 9");
  assertEquals(new Set(b.filter((r) => r.id !== 0).map((r) => r.net)), new Set(["b"]));
  assert(b.length < all.length);
  const none = await cli([lab, "tcp"]);
  assertEquals([none.code, none.out], [0, "0 packets, 0 steps, 0 drops"]);
});

Deno.test("cli trace: --drops-only shows the whole way of what was dropped, and why", async () => {
  const records = await json("--drops-only", `${LABS}custom_plugin.yaml`);
  assertEquals(packets(records), ["UDP 10.0.0.1:4000 > 10.0.0.2:9, 4 bytes"]);
  assertEquals(records.filter((r) => r.drop !== null).map((r) => r.drop!.name), ["NETFILTER_DROP"]);
  for (const point of ["udp:udp_sendmsg", "net:net_dev_queue", "nf:nf_hook_entry_hookfn"]) {
    assert(records.some((r) => r.point === point), point);
  }
  const { out } = await cli(["--drops-only", `${LABS}custom_plugin.yaml`]);
  assertStringIncludes(out, 'hook "close-9" says DROP');
  assertEquals(await json("--drops-only", `${LABS}custom_plugin.yaml`, "icmp"), []);
});

Deno.test("cli trace: TCP connections as ladders; the same seed, the same output", async () => {
  const args = ["--ladder", "--limit", "30", `${LABS}bad_network.yaml`, "tcp", "port", "80", "and", "host", "web"];
  const first = await cli(args);
  assertEquals([first.code, first.err], [0, ""]);
  assertStringIncludes(first.out, " SYN seq 0 ");
  assertStringIncludes(first.out, " SYN+ACK seq 0 ack 1 ");
  assertEquals(await cli(args), first);
});

Deno.test("cli trace: captures of the file are not written; an expectation that does not hold is exit code 1", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const text =
      "hosts: { a:, b: }\nlinks: [[a, b]]\ncaptures: [{ on: a:eth0, file: a.pcap }]\nexpect: [{ ping: { from: a, to: 10.0.0.9 } }]\n";
    await Deno.writeTextFile(`${folder}/lab.yaml`, text);
    const { code, err } = await cli([`${folder}/lab.yaml`, "arp"]);
    assertEquals([code, err], [1, "Expectation does not hold: ping a to 10.0.0.9: 0 of 1 answered"]);
    assertEquals([...Deno.readDirSync(folder)].length, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("watch: of many packets only the chosen ones stay, whole and in order, however many events pass", async () => {
  using lab = createLab({ seed: 1 });
  lab.link("a", "b");
  const [a, b] = [lab.host("a"), lab.host("b")];
  using watch = new PacketWatch(lab.machine, { test: (p) => p.dport === 77, dropsOnly: false, limit: 3, nets: null });
  using server = b.listenDatagram({ port: 7, hostname: "10.0.0.2" });
  using other = b.listenDatagram({ port: 77, hostname: "10.0.0.2" });
  using client = a.listenDatagram({ port: 4096, hostname: "10.0.0.1" });
  const send = async (port: number, from: typeof server): Promise<void> => {
    const reading = from.receive();
    await client.send(new Uint8Array(8), { transport: "udp", hostname: "10.0.0.2", port });
    await reading;
  };
  // About 50 events each: the window of 20,000 passes several times.
  for (let i = 0; i < 1500; i++) await send(i % 300 === 0 ? 77 : 7, i % 300 === 0 ? other : server);
  const records = watch.records();
  const ids = new Set(records.map((r) => r.id).filter((id) => id !== 0));
  assertEquals([ids.size, watch.left], [3, 2]);
  assertEquals(records.map((r) => r.seq), records.map((r) => r.seq).toSorted((x, y) => x - y));
  for (const id of ids) {
    const points = records.filter((r) => r.id === id).map((r) => r.point);
    for (const point of ["net:net_dev_queue", "nic:dma", "udp:udp_rcv"]) {
      assert(points.includes(point), `${id} ${point}`);
    }
  }
  // What is copied for others is not told as theirs.
  const copied = records.flatMap((r) => r.copies).filter((c) => c.site === "udp_sendmsg").map((c) => c.bytes);
  assertEquals(copied, [8, 8, 8]);
  assertEquals(lab.machine.bus.mask !== 0, true);
});
