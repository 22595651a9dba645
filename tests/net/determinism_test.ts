/** The same seed gives the same bytes: captures of two runs are equal, and of two seeds are not. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { PcapBuffer, pcapTap, readPcap } from "../../plugins/device/pcap/mod.ts";
import { needIp } from "../../plugins/network/inet/mod.ts";
import { msgHdr } from "../../plugins/transport/sock/mod.ts";
import { nic } from "../../plugins/device/nic/mod.ts";
import { createHost } from "../../mod.ts";
import { Random } from "../support/frames/random.ts";
import { routed, udpSocket } from "../support/hosts.ts";

/** Pings, datagrams of all sizes, closed ports and time, through a router with a smaller MTU; the captures of two ends. */
async function run(seed: number): Promise<Uint8Array[]> {
  using t = routed({ seed, mtu: 900 });
  const files = [new PcapBuffer(), new PcapBuffer()];
  using _a = pcapTap(t.a.link.get("eth0"), files[0]);
  using _b = pcapTap(t.b.link.get("eth0"), files[1]);
  const random = new Random(seed);
  const rx = udpSocket(t.b, 7);
  const tx = udpSocket(t.a, 0);
  t.a.sys.setsockopt(tx, 0, 10, 0);
  for (let i = 0; i < 60; i++) {
    const msg = msgHdr(new Uint8Array(random.int(5000)).fill(i));
    msg.addr = needIp("10.0.1.2", "address");
    msg.port = random.chance(0.8) ? 7 : 9;
    t.a.sys.sendmsg(tx, msg, 0);
    t.machine.advance(random.int(40) * 1e6);
    while (t.b.sys.recvmsg(rx, msgHdr(new Uint8Array(6000)), 0) >= 0);
  }
  const pings = Promise.all([1, 2, 3].map((seq) => t.a.ping("10.0.1.2", { seq })));
  for (let i = 0; i < 50; i++) {
    t.machine.advance(100e6);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await pings;
  t.machine.runUntilIdle();
  // A late joiner takes its address from the seed.
  const late = createHost({ machine: t.machine, name: "late" });
  nic(late.net, "eth0");
  assert(late.link.get("eth0").address.startsWith("02:"));
  return files.map((f) => f.bytes());
}

Deno.test("the same seed gives byte-identical pcaps twice, another seed others", async () => {
  const [first, second, other] = [await run(7), await run(7), await run(8)];
  assertEquals(first, second);
  assertNotEquals(first, other);
  assert(readPcap(first[0] as Uint8Array<ArrayBuffer>).frames.length > 100);
});
