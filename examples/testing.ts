// deno run --allow-write examples/testing.ts
//
// Tests a client against a network that breaks: no root, no waiting, the same course every time. In a test file each block
// is a Deno.test(); what fails leaves a capture and the journey of every packet.
import { assertEquals } from "@std/assert";
import type { Host } from "@netpath/stack";
import { createLab, LabAssertionError, replyTo } from "@netpath/stack/testing";

/** The code under test: asks three times, a second apart, then gives up. */
async function whatTime(host: Host): Promise<string> {
  using socket = host.listenDatagram({ port: 0 });
  const answered = socket.receive().catch(() => null);
  for (let attempt = 1; attempt <= 3; attempt++) {
    await socket.send(new TextEncoder().encode("time?"), { transport: "udp", hostname: "10.0.0.2", port: 37 });
    const timeout = new Promise<null>((resolve) => setTimeout(() => resolve(null), 1000));
    const answer = await Promise.race([answered, timeout]);
    if (answer !== null) return `${new TextDecoder().decode(answer[0])} after ${attempt}`;
  }
  return "no answer";
}

// 1. The server is the test itself: packets in and out as plain objects.
{
  using lab = createLab({ seed: 1 });
  lab.link("client", "server", { delay: "20ms" });
  await lab.run(async () => {
    const asked = whatTime(lab.host("client"));
    const question = await lab.expectPacket("client:eth0", { udp: { dport: 37 }, payload: "time?" });
    lab.inject("client:eth0", replyTo(question.packet, { payload: "noon" }));
    assertEquals(await asked, "noon after 1");
    console.log("1. answered:", `${question}`);
  });
}

// 2. The first two questions get lost on the way in: two seconds of virtual time, a few milliseconds of yours.
{
  using lab = createLab({ seed: 1 });
  lab.link("client", "server", { delay: "20ms" });
  await lab.run(async () => {
    using server = lab.host("server").listenDatagram({ port: 37 });
    (async () => {
      for await (const [, from] of server) await server.send(new TextEncoder().encode("noon"), from);
    })();
    using loss = lab.fault("server:eth0", "ingress", { match: { payload: "time?" }, times: 2 });
    const start = Date.now();
    assertEquals(await whatTime(lab.host("client")), "noon after 3");
    console.log(`2. answered by the third question, after ${Date.now() - start} ms; ${loss.hits} were lost`);
  });
}

// 3. Nobody listens: which way the question went, and why it ended.
{
  using lab = createLab({ seed: 1 });
  lab.link("client", "server");
  await lab.run(async () => {
    assertEquals(await whatTime(lab.host("client")), "no answer");
    const lost = await lab.expectDrop("NO_SOCKET", { on: "server", match: { udp: { dport: 37 } } });
    lab.assertPath(lost, ["client:ip_output", "server:ip_rcv", "server:udp_rcv", "server:drop NO_SOCKET"]);
    await lab.expectPacket("client", { icmp: { type: 3, code: 3, quoted: { udp: { dport: 37 } } } });
    console.log("3. dropped:", `${lost}`);

    // An expectation that does not hold.
    try {
      lab.assertPath(lost, ["server:ip_forward"]);
    } catch (error) {
      if (!(error instanceof LabAssertionError)) throw error;
      console.log(`\n${error.message.replaceAll(/\/\S+\/(netpath-)\w+/g, "$1...")}`);
      Deno.removeSync(error.artifacts!.pcapng.replace(/\/[^/]+$/, ""), { recursive: true });
    }
  });
}
