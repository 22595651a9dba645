/** Faults at each stage: what they do, what the stack and the application make of it, and that nothing leaks. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { DatagramConn, TcpConn } from "../../../plugins/socket/deno/mod.ts";
import { createLab, type FaultEffect, type FaultStage, type TestLab } from "../../../plugins/lab/testing/mod.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const TO_B = { transport: "udp", hostname: "10.0.0.2", port: 7 } as const;

function twoHosts(): TestLab {
  const lab = createLab({ seed: 1 });
  lab.link("a", "b");
  return lab;
}

/** What `n` datagrams from a to b arrive as, with the millisecond of the virtual clock. */
async function datagrams(lab: TestLab, n: number, act: () => void): Promise<string[]> {
  using server: DatagramConn = lab.host("b").listenDatagram({ port: 7 });
  using client: DatagramConn = lab.host("a").listenDatagram({ port: 4096 });
  await client.send(bytes("first"), TO_B);
  await server.receive();
  act();
  const start = lab.machine.now;
  const got: string[] = [];
  const read = (async () => {
    for (;;) {
      const [data] = await server.receive();
      got.push(`${new TextDecoder().decode(data)} ${Math.round((lab.machine.now - start) / 1e6)}`);
    }
  })().catch(() => {});
  for (let i = 0; i < n; i++) await client.send(bytes(`data${i}`), TO_B);
  await lab.expectNoPacket("b", { udp: {} }, { direction: "out", within: "50ms" });
  server.close();
  await read;
  return got;
}

const STAGES: [at: string, stage: FaultStage][] = [
  ["a:eth0", "xmit"],
  ["b:eth0", "ingress"],
  ["a", "output"],
  ["a", "postrouting"],
  ["b", "prerouting"],
  ["b", "input"],
  ["b", "udp_rcv"],
];

for (const [at, stage] of STAGES) {
  const hook = !["xmit", "ingress", "udp_rcv"].includes(stage);
  const fault = (lab: TestLab, effect: FaultEffect) => () =>
    void lab.fault(at, stage, { match: { payload: (p) => String.fromCharCode(...p) === "data1" }, effect });

  Deno.test(`${stage}: drop hits the packets that match, and says so`, async () => {
    using lab = twoHosts();
    // The sender is told of what its own hook drops: EPERM. What is behind is sent all the same.
    const act = stage === "output" || stage === "postrouting"
      ? () => void lab.fault(at, stage, { after: 1, times: 0 })
      : fault(lab, "drop");
    assertEquals((await datagrams(lab, 3, act)).map((t) => t.split(" ")[0]), [
      "data0",
      ...(stage === "output" || stage === "postrouting" ? ["data1"] : []),
      "data2",
    ]);
    if (stage === "output" || stage === "postrouting") {
      using client = lab.host("a").listenDatagram({ port: 0 });
      using _fault = lab.fault(at, stage, { match: { udp: {} } });
      await assertRejects(() => client.send(bytes("x"), TO_B), Deno.errors.PermissionDenied);
    }
    await lab.expectDrop(hook ? "NETFILTER_DROP" : "FAULT_INJECTED");
  });

  Deno.test(`${stage}: corrupt is found by the checksum`, async () => {
    using lab = twoHosts();
    assertEquals(await datagrams(lab, 3, fault(lab, "corrupt")), ["data0 0", "data2 0"]);
    await lab.expectDrop("UDP_CSUM", { on: "b", match: { payload: "data0" } });
  });

  if (hook) continue;
  Deno.test(`${stage}: duplicate and delay`, async () => {
    using lab = twoHosts();
    assertEquals(await datagrams(lab, 3, fault(lab, "duplicate")), ["data0 0", "data1 0", "data1 0", "data2 0"]);
    using late = twoHosts();
    assertEquals(await datagrams(late, 3, fault(late, "delay")), ["data0 0", "data2 0", "data1 10"]);
    // What is held when the lab ends is freed.
    using held = twoHosts();
    using client = held.host("a").listenDatagram({ port: 0 });
    held.fault(at, stage, { effect: "delay", delay: "3600s", match: { udp: {} } });
    await client.send(bytes("never"), TO_B);
    await held.settle();
    assert(held.machine.skbs.live > 0);
  });
}

Deno.test("xmit busy: the driver refuses, core keeps the packet and tries again", async () => {
  using lab = twoHosts();
  const got = await datagrams(lab, 3, () => void lab.fault("a:eth0", "xmit", { effect: "busy", times: 2 }));
  assertEquals(got, ["data0 2", "data1 2", "data2 2"]);
});

Deno.test("after, times and probability", async () => {
  using lab = twoHosts();
  const got = await datagrams(lab, 6, () => void lab.fault("b:eth0", "ingress", { after: 1, times: 2 }));
  assertEquals(got.map((t) => t.split(" ")[0]), ["data0", "data3", "data4", "data5"]);
  using dice = twoHosts();
  const some = await datagrams(dice, 200, () => void dice.fault("b:eth0", "ingress", { probability: 0.25 }));
  assert(some.length > 120 && some.length < 180, `${some.length}`);
  // Mended, all comes through.
  using mended = twoHosts();
  assertEquals((await datagrams(mended, 5, () => mended.fault("b:eth0", "ingress")[Symbol.dispose]())).length, 5);
});

/** Sends 200 kB by TCP with a fault in place; nothing may be lost, nothing may be left. */
async function transfer(at: string, stage: FaultStage, options: Parameters<TestLab["fault"]>[2]): Promise<number> {
  using lab = twoHosts();
  using listener = lab.host("b").listen({ port: 80 });
  const client: TcpConn = await lab.host("a").connect({ hostname: "10.0.0.2", port: 80 });
  const server = await listener.accept();
  const fault = lab.fault(at, stage, options);
  const data = Uint8Array.from({ length: 200_000 }, (_, i) => i * 7 + (i >> 8));
  const sent = client.write(data).then(() => client.closeWrite());
  const got = new Uint8Array(data.length);
  let n = 0;
  for (let m = await server.read(got); m !== null; m = await server.read(got.subarray(n))) {
    n += m;
    if (n === got.length) break;
  }
  await sent;
  assertEquals(got, data);
  fault[Symbol.dispose]();
  client.close();
  server.close();
  lab.runUntilIdle();
  return fault.hits;
}

const HARD: [string, FaultStage, Parameters<TestLab["fault"]>[2]][] = [
  ["b:eth0", "ingress", { probability: 0.1 }],
  ["a:eth0", "xmit", { probability: 0.1, effect: "corrupt" }],
  ["b", "tcp_v4_rcv", { probability: 0.1, effect: "duplicate" }],
  ["b:eth0", "ingress", { probability: 0.1, effect: "delay", delay: "3ms" }],
  ["a:eth0", "xmit", { probability: 0.1, effect: "busy" }],
  ["", "alloc_skb", { probability: 0.1 }],
  ["", "alloc_page", { probability: 0.05 }],
];

for (const [at, stage, options] of HARD) {
  Deno.test(`TCP survives ${options!.effect ?? "failure"} at ${stage}`, async () => {
    assert(await transfer(at, stage, options) > 2);
  });
}

Deno.test("a system call fails as told: names and codes at the face", async () => {
  using lab = twoHosts();
  const host = lab.host("a");
  using client = host.listenDatagram({ port: 0 });
  using call = lab.fault("a", "sys_sendmsg", { errno: "EHOSTUNREACH", times: 1 });
  const error = await assertRejects(() => client.send(bytes("x"), TO_B), Error, "Cannot send to 10.0.0.2:7");
  assertEquals([(error as { code?: string }).code, call.hits], ["EHOSTUNREACH", 1]);
  await client.send(bytes("x"), TO_B);
  using _socket = lab.fault("a", "sys_socket", { errno: "EMFILE" });
  await assertRejects(() => host.connect({ hostname: "10.0.0.2", port: 80 }), Error, "Cannot make a stream socket");
});
