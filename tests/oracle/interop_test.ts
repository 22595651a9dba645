/** The kernel's programs against netpath over a TAP, in a namespace of the test's own. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { testNeeding } from "../support/needs.ts";

/** What interop_worker.ts prints. */
interface Seen {
  ping: string;
  bigPing: string;
  ourPing: number[][];
  ourBigPing: number;
  pingBehind: string;
  ttlOne: string;
  traceroute: string;
  tracepath: string;
  refused: string;
  echo: number[];
  toKernel: string;
  idleCpu: number;
  drops: Record<string, number>;
  faults: unknown[];
}

async function worker(): Promise<Seen> {
  const script = new URL("./interop_worker.ts", import.meta.url).pathname;
  const { success, stdout, stderr } = await new Deno.Command("unshare", {
    args: ["-n", Deno.execPath(), "run", "--no-check", "-A", "--unstable-net", script],
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder();
  assert(success, text.decode(stderr));
  return JSON.parse(text.decode(stdout).trim().split("\n").at(-1)!) as Seen;
}

testNeeding(
  ["root", "tun", "program:unshare", "program:ping", "program:traceroute", "program:tracepath", "program:python3"],
  "a TAP host and a router behind it serve the kernel's ping, traceroute, tracepath and UDP sockets",
  async (t) => {
    const seen = await worker();
    const step = (name: string, fn: () => void): Promise<boolean> => t.step(name, fn);
    await step("ping: 5 of 5", () => assertMatch(seen.ping, /5 packets transmitted, 5 received, 0% packet loss/));
    await step(
      "ping with 8,000 bytes: fragments both ways",
      () => assertMatch(seen.bigPing, /3 packets transmitted, 3 received, 0% packet loss/),
    );
    await step(
      "our ping: the kernel answers with TTL 64",
      () => assertEquals(seen.ourPing, [[1, 64], [2, 64], [3, 64]]),
    );
    await step("our ping with 8,000 bytes", () => assertEquals(seen.ourBigPing, 8000));
    await step(
      "[R18] ping through the router: TTL 63",
      () => assertMatch(seen.pingBehind, /ttl=63[\s\S]* 0% packet loss/),
    );
    await step(
      "ping -t 1 hears of the router",
      () => assertMatch(seen.ttlOne, /From 10\.7\.0\.2 icmp_seq=1 Time to live exceeded/),
    );
    await step(
      "traceroute sees both hops",
      () => assertMatch(seen.traceroute, /1 {2}10\.7\.0\.2 .*\n 2 {2}10\.8\.0\.2 /),
    );
    await step("tracepath finds the smaller MTU behind the router", () => {
      assertMatch(seen.tracepath, /pmtu 1280/);
      assertMatch(seen.tracepath, /10\.8\.0\.2 .*reached/);
    });
    await step(
      "a closed port gives the kernel ECONNREFUSED",
      () => assertMatch(seen.refused, /ConnectionRefusedError/),
    );
    await step(
      "UDP echo of every size, whole and in fragments",
      () => assertEquals(seen.echo, [0, 1, 64, 1472, 1473, 9000, 65507]),
    );
    await step("our datagram reaches a kernel socket", () => assertEquals(seen.toKernel, "to the kernel"));
    await step("an idle TAP host uses under 1 % CPU", () => assert(seen.idleCpu < 0.01, `${seen.idleCpu * 100} %`));
    await step("no skb leaked", () => assertEquals(seen.faults, []));
    await step("every drop has its reason", () => assertEquals(seen.drops["NOT_SPECIFIED"], undefined));
  },
);
