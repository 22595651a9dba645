import { assertEquals, assertStringIncludes } from "@std/assert";
import { eth, icmp, icmpEcho, ipOption, ipv4, pattern, udp } from "../support/frames/build.ts";
import { compare, report } from "./compare.ts";
import {
  type Answer,
  type Answers,
  decodeAnswers,
  decodeSteps,
  encodeAnswers,
  encodeSteps,
  type Step,
} from "./scenario.ts";

const HOSTS = { src: "10.9.0.1", dst: "10.9.0.2" };
const OWN = { own: ["10.9.0.1"] };

function step(options: Uint8Array = new Uint8Array(0)): Step {
  return {
    kind: "frame",
    dev: 0,
    note: "icmp/echo: x",
    bytes: eth({}, ipv4({ src: "10.9.0.2", dst: "10.9.0.1", options }, icmpEcho())),
  };
}

function frame(packet: Uint8Array): Answer {
  return { kind: "frame", dev: 0, bytes: eth({}, packet) };
}

function differences(a: Answer[], b: Answer[], input = step()): string[] {
  return compare([input], [a, []], [b, []], OWN).mismatches.flatMap((mismatch) => mismatch.differences);
}

Deno.test("compare() leaves out the id of the host's own packets, not of others", () => {
  const own = (id: number) => [frame(ipv4({ ...HOSTS, id }, icmpEcho()))];
  const forwarded = (id: number) => [frame(ipv4({ ...HOSTS, src: "10.9.0.7", id }, icmpEcho()))];
  assertEquals(differences(own(1), own(2)), []);
  assertEquals(differences(forwarded(1), forwarded(2)), ["0.ipv4.id: 1 | 2"]);
});

Deno.test("compare() wants one id for the fragments of a packet", () => {
  const pieces = (a: number, b: number) => [
    frame(ipv4({ ...HOSTS, id: a, proto: 1, mf: true }, pattern(8))),
    frame(ipv4({ ...HOSTS, id: b, proto: 1, offset: 8 }, pattern(8))),
  ];
  assertEquals(differences(pieces(1, 1), pieces(2, 2)), []);
  assertEquals(differences(pieces(1, 1), pieces(1, 2)), ['1.ipv4.id: "as the fragment before" | "own"']);
});

Deno.test("compare() leaves out timestamps, not where they are", () => {
  const stamped = (now: number, pointer: number) => {
    const data = Uint8Array.of(0, 1, 2, now, 0, 0, 0, 0);
    return [frame(ipv4({ ...HOSTS, options: ipOption.timestamp(0, data, pointer) }, icmpEcho()))];
  };
  const input = step(ipOption.timestamp(0, new Uint8Array(8)));
  assertEquals(differences(stamped(7, 9), stamped(8, 9), input), []);
  assertEquals(differences(stamped(7, 9), stamped(7, 5), input).length, 1);
  const reply = (
    now: number,
    first = 1,
  ) => [frame(ipv4(HOSTS, icmp({ type: 14 }, [0, 0, 0, first, 0, 0, 0, now, 0, 0, 0, now])))];
  assertEquals(differences(reply(1), reply(2)), []);
  assertEquals(differences(reply(1, 1), reply(1, 2)).length, 1);
});

Deno.test("compare() finds a missing answer, a changed field, a wrong checksum, a datagram", () => {
  const good = frame(ipv4(HOSTS, udp({ sport: 1, dport: 2 }, "x")));
  assertEquals(differences([good], []).length > 0, true);
  assertEquals(differences([good], [frame(ipv4({ ...HOSTS, ttl: 63 }, udp({ sport: 1, dport: 2 }, "x")))]), [
    "0.ipv4.ttl: 64 | 63",
  ]);
  const bad = frame(ipv4({ ...HOSTS, checksum: 1 }, udp({ sport: 1, dport: 2 }, "x")));
  assertEquals(differences([good], [bad]), ["0.ipv4.checksumOk: true | false"]);
  const datagram = (port: number): Answer => ({
    kind: "datagram",
    socket: 0,
    from: "10.9.0.2",
    port,
    bytes: pattern(3),
  });
  assertEquals(differences([datagram(1)], [datagram(2)]), ["0.port: 1 | 2"]);
});

Deno.test("report() counts by class and shows the input", () => {
  const result = compare([step()], [[frame(ipv4(HOSTS, icmpEcho()))], []], [[], []], OWN);
  const text = report(result, { left: "kernel", right: "netpath" });
  assertStringIncludes(text, "icmp/echo: 1 differ");
  assertStringIncludes(text, "1 steps, 1 answers of kernel, 1 steps differ from netpath");
});

Deno.test("steps and answers come back from their files", () => {
  const steps: Step[] = [step(), { kind: "wait", ms: 20, note: "wait" }];
  assertEquals(decodeSteps(encodeSteps(steps)), steps);
  const answers: Answers = [
    [
      { kind: "frame", dev: 1, bytes: pattern(20) },
      { kind: "datagram", socket: 2, from: "1.2.3.4", port: 5, bytes: pattern(9) },
      { kind: "error", socket: 1, errno: 111 },
      { kind: "refused", dev: 0, errno: 22 },
      { kind: "counters", delta: { "Ip.InReceives": 1 } },
      { kind: "drops", reasons: ["IP_CSUM"] },
    ],
    [],
  ];
  assertEquals(decodeAnswers(encodeAnswers(answers)), answers);
});
