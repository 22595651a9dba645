/** The testing kit itself: expectations that hold, and, as much, expectations that must fail. */
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { nfRegisterNetHook } from "../../../plugins/network/netfilter/mod.ts";
import { createLab, LabAssertionError, type TestLab } from "../../../plugins/lab/testing/mod.ts";
import { testNeeding } from "../../support/needs.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Two hosts on a wire; files of a failure go to a folder that the test removes. */
async function withLab(
  fn: (lab: TestLab) => Promise<void>,
  options: Parameters<typeof createLab>[0] = {},
): Promise<void> {
  const artifacts = await Deno.makeTempDir();
  try {
    using lab = createLab({ seed: 1, artifacts, ...options });
    lab.link("a", "b");
    await fn(lab);
  } finally {
    await Deno.remove(artifacts, { recursive: true });
  }
}

Deno.test("inject and expect: an echo request is answered, unset fields do not matter", () =>
  withLab(async (lab) => {
    lab.inject("b:eth0", { icmp: { id: 7, seq: 1 }, payload: "ping" });
    const reply = await lab.expectPacket("b:eth0", { icmp: { type: 0, id: 7 } }, { direction: "out" });
    assertEquals([reply.packet.ip!.dst, reply.packet.ip!.check, reply.packet.icmp!.check], [
      "10.0.0.1",
      "good",
      "good",
    ]);
    assertEquals(new TextDecoder().decode(reply.packet.payload), "ping");
    // a got a reply that it never asked for.
    await lab.expectPacket("a", { icmp: { type: 0 } }, { direction: "in" });
    assertEquals(lab.packets("b", { arp: {} }).length, 2);
  }));

Deno.test("expectPacket goes on behind the packet before; expectNoPacket waits its time", () =>
  withLab(async (lab) => {
    const server = lab.host("b").listenDatagram({ port: 7 });
    const client = lab.host("a").listenDatagram({ port: 9 });
    const to = { transport: "udp", hostname: "10.0.0.2", port: 7 } as const;
    for (const text of ["one", "two", "three"]) await client.send(bytes(text), to);
    await lab.expectPacket("b", { payload: "one" });
    await lab.expectPacket("b", { payload: "three" });
    await assertRejects(
      () => lab.expectPacket("b", { payload: "two" }, { within: "1ms" }),
      LabAssertionError,
      'No packet like { payload: "two" } at b within 1ms: nothing was seen there',
    );
    const start = lab.machine.now;
    await lab.expectNoPacket("b", { udp: {} }, { within: "20ms" });
    assert(lab.machine.now - start >= 20e6);
    void client.send(bytes("late"), to);
    await assertRejects(() => lab.expectNoPacket("b", { udp: {} }), LabAssertionError, "was seen:\n  ");
    server.close();
    client.close();
  }));

Deno.test("a failure lists what came instead and why it did not match", () =>
  withLab(async (lab) => {
    lab.inject("b:eth0", { udp: { dport: 9 } });
    const error = await assertRejects(() => lab.expectPacket("b", { udp: { dport: 8 } }), LabAssertionError);
    assertStringIncludes(error.message, "No packet like { udp: { dport: 8 } } at b within 1s; there were 4 others");
    assertStringIncludes(error.message, "b:eth0 in   UDP 10.0.0.1:49152 > 10.0.0.2:9\n      udp.dport is 9, not 8");
  }));

Deno.test("expectDrop: each drop serves once; another reason is told", () =>
  withLab(async (lab) => {
    lab.inject("b:eth0", { udp: { dport: 9 } });
    lab.inject("b:eth0", { udp: { dport: 9, check: "bad" }, payload: "x" });
    const first = await lab.expectDrop("NO_SOCKET", { on: "b" });
    assertEquals([first.reason, first.packet.udp!.dport], ["NO_SOCKET", 9]);
    await lab.expectDrop("UDP_CSUM", { match: { udp: { check: "bad" } } });
    const none = () => lab.expectDrop("NO_SOCKET", { on: "b", within: "0" });
    await assertRejects(none, LabAssertionError, "No packet was dropped for NO_SOCKET on b: nothing was dropped");
    await assertRejects(() => lab.expectDrop("NO_SUCH"), TypeError, "there is no such reason");
  }));

Deno.test("assertPath: steps in order, nets, hooks, drops, points that are not met", () =>
  withLab(async (lab) => {
    using _hook = nfRegisterNetHook(lab.host("b").net, { name: "filter", hook: 1, fn: () => 1 });
    lab.inject("b:eth0", { udp: { dport: 9 } });
    const lost = await lab.expectDrop("NO_SOCKET");
    lab.assertPath(lost, ["b:ip_rcv", "ip_local_deliver", "filter ACCEPT", "udp:udp_rcv", "b:drop NO_SOCKET"]);
    lab.assertPath({ udp: { dport: 9 } }, ["! a:ip_rcv", "b:ip_rcv", "! ip_forward"]);
    const fails = (steps: string[], message: string): void => {
      const error = assertThrows(() => lab.assertPath(lost, steps), LabAssertionError);
      assertStringIncludes(error.message, message);
    };
    fails(["b:udp_rcv", "b:ip_rcv"], "it does not come to b:ip_rcv after b:udp_rcv");
    fails(["a:ip_rcv"], "it does not come to a:ip_rcv; its way:\n  b: ");
    fails(["b:ip_rcv", "drop TCP_CSUM"], "does not come to drop TCP_CSUM");
    fails(["b:ip_rcv", "! udp_rcv", "drop"], "it comes to udp_rcv before drop");
    fails(["filter DROP"], "does not come to filter DROP");
    assertThrows(() => lab.assertPath({ tcp: {} }, ["ip_rcv"]), LabAssertionError, "none was seen");
  }));

Deno.test("time by hand: advance, step, settle; nothing moves by itself", () =>
  withLab(async (lab) => {
    lab.links[0].wire.change({ delayNs: 5e6 });
    const { machine } = lab;
    let reply: unknown = null;
    const ping = lab.host("a").ping("10.0.0.2").then((r) => reply = r.timeNs);
    await lab.settle();
    assertEquals([machine.now, reply], [0, null]);
    lab.advance(19e6);
    await lab.settle();
    assertEquals([machine.now, reply], [19e6, null]);
    lab.advance(1e6);
    await ping;
    assertEquals([machine.now, reply], [20e6, 20e6]);
    lab.runUntilIdle();
    assertEquals(lab.step(), false);
  }, { autoAdvance: false }));

Deno.test("run(): setTimeout and Date are the lab's; what the test throws leaves files and says where", () =>
  withLab(async (lab) => {
    await lab.run(async () => {
      const start = Date.now();
      await new Promise((r) => setTimeout(r, 3_600_000));
      assertEquals(Date.now() - start, 3_600_000);
    });
    lab.inject("b:eth0", { udp: { dport: 9 } });
    const error = await assertRejects(() => lab.run(() => assertEquals(1, 2)), Error);
    const { pcapng, journey } = lab.artifacts!;
    assertStringIncludes(error.message, `\n\ncapture: ${pcapng}\njourney: ${journey}`);
    assertStringIncludes(error.stack!, pcapng);
    assertStringIncludes(await Deno.readTextFile(journey), "dropped: NO_SOCKET");
    assertEquals(new DataView((await Deno.readFile(pcapng)).buffer).getUint32(8, true), 0x1a2b3c4d);
  }));

testNeeding(
  ["program:tshark"],
  "the pcapng: frames once, devices by name, the reason of a drop as a comment",
  () =>
    withLab(async (lab) => {
      const [port, to] = [4096, { transport: "udp", hostname: "10.0.0.2", port: 9 } as const];
      using client = lab.host("a").listenDatagram({ port });
      await client.send(bytes("lost"), to);
      await lab.expectDrop("NO_SOCKET");
      // One that never met a device.
      using _fault = lab.fault("a", "output", { match: { payload: "gone" } });
      await client.send(bytes("gone"), to).catch(() => {});
      assertThrows(() => lab.fail("on purpose"), LabAssertionError, "on purpose\n\ncapture: ");
      const fields = ["frame.interface_name", "_ws.col.Protocol", "frame.packet_id", "pkt_comment", "udp.dstport"];
      const { stdout } = await new Deno.Command("tshark", {
        args: [
          ...["-r", lab.artifacts!.pcapng, "-T", "fields", "-E", "separator=|", "-E", "occurrence=f"],
          ...fields.flatMap((f) => ["-e", f === "pkt_comment" ? "frame.comment" : f]),
        ],
        stderr: "null",
      }).output();
      assertEquals(new TextDecoder().decode(stdout).trim().split("\n").map((l) => l.replace(/\|\d+\|/, "|N|")), [
        "a:eth0|ARP|N||",
        "b:eth0|ARP|N||",
        "a:eth0|UDP|N|dropped in b: NO_SOCKET|9",
        "b:eth0|ICMP|N||9",
        "dropped|UDP|N|dropped in a: NETFILTER_DROP|9",
      ]);
    }),
);

Deno.test("a drop without a reason, and a packet that nobody frees, fail at the end", () => {
  const end = (fn: (lab: TestLab) => void): unknown => {
    const lab = createLab({ seed: 1 });
    lab.link("a", "b");
    fn(lab);
    try {
      lab[Symbol.dispose]();
    } catch (error) {
      if (lab.artifacts !== null) Deno.removeSync(lab.artifacts.pcapng.replace(/\/[^/]+$/, ""), { recursive: true });
      return String(error);
    }
    return "";
  };
  assertEquals(end(() => {}), "");
  assertStringIncludes(String(end((lab) => void lab.machine.skbs.alloc(100))), "1 live at the end\n  leak: ");
  const drop = (lab: TestLab): void => {
    const { net } = lab.host("a");
    net.drop(lab.machine.skbs.alloc(100)!, 2);
  };
  assertStringIncludes(String(end(drop)), "A drop has no reason");
});

Deno.test("names that are not there are errors in words", () =>
  withLab((lab) => {
    assertThrows(() => lab.inject("c:eth0", {}), TypeError, "Cannot find host c: there are a, b");
    assertThrows(() => lab.inject("a:eth5", {}), TypeError, "Cannot find device a:eth5: a has lo, eth0");
    assertThrows(() => lab.fault("a", "xmit"), TypeError, "name a device, such as a:eth0");
    assertThrows(() => lab.fault("", "input"), TypeError, "name a host");
    assertThrows(() => lab.fault("a", "input", { effect: "delay" }), TypeError, "it can drop or corrupt");
    assertThrows(() => lab.fault("a", "sys_nothing" as never), TypeError, "there is no such call");
    assertThrows(() => lab.fault("a", "tea" as never), TypeError, "there is no such stage");
    return Promise.resolve();
  }));

Deno.test("the same seed gives the same bytes", async () => {
  const course = async (seed: number): Promise<string> => {
    using lab = createLab({ seed });
    lab.link("a", "b", { delay: "3ms", loss: "20%" });
    using listener = lab.host("b").listen({ port: 80 });
    const client = await lab.host("a").connect({ hostname: "10.0.0.2", port: 80 });
    const server = await listener.accept();
    await client.write(new Uint8Array(20_000));
    const p = new Uint8Array(65536);
    for (let n = 0; n < 20_000;) n += await server.read(p) ?? 0;
    client.close();
    server.close();
    lab.runUntilIdle();
    return lab.packets("").join("\n");
  };
  const one = await course(3);
  assertEquals(await course(3), one);
  assert(await course(4) !== one);
});
