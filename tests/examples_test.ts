/** Every example runs by the command of its first line, says what it is for, and ends by itself. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { testNeeding } from "./support/needs.ts";

const ROOT = new URL("../", import.meta.url).pathname;

interface Ran {
  code: number;
  out: string;
  err: string;
}

function commandOf(name: string): string[] {
  const [first] = Deno.readTextFileSync(`${ROOT}examples/${name}`).split("\n");
  assertMatch(first, /^\/\/ deno run /, `${name}: its first line is the command`);
  return first.slice("// deno ".length).split(" ");
}

async function example(name: string): Promise<Ran> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", ...commandOf(name).slice(1)],
    cwd: ROOT,
    stdin: "null",
    env: { NO_COLOR: "1" },
    signal: AbortSignal.timeout(30_000),
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

/** Runs it; it must end well and say nothing on stderr. */
async function output(name: string): Promise<string> {
  const { code, out, err } = await example(name);
  assertEquals([code, err], [0, ""], `${name}\n${out}${err}`);
  return out;
}

Deno.test("examples: each imports published names only, and its first line is its command", () => {
  for (const { name } of Deno.readDirSync(`${ROOT}examples`)) {
    if (!name.endsWith(".ts")) continue;
    assert(commandOf(name).includes(`examples/${name}`), name);
    const text = Deno.readTextFileSync(`${ROOT}examples/${name}`);
    for (const [, specifier] of text.matchAll(/from "([^"]+)"/g)) {
      assertMatch(
        specifier,
        /^(@netpath\/stack(\/\w+)?|@std\/\w+|node:\w+|npm:ws@\^8)$/,
        `${name} imports ${specifier}`,
      );
    }
  }
});

Deno.test("examples/hello.ts: a datagram there and back", async () => {
  const out = await output("hello.ts");
  assertStringIncludes(out, 'bob   received "hello" from 10.0.0.1:4096');
  assertStringIncludes(out, 'alice received "hello yourself"');
  assertStringIncludes(out, "copied by the CPU: 38 ");
});

Deno.test("examples/journey.ts: the way of a datagram that is dropped, and what it caused", async () => {
  const out = await output("journey.ts");
  assertStringIncludes(out, "dropped: NO_SOCKET");
  assertStringIncludes(out, "\n  #2 ARP who has 10.0.0.2? tell 10.0.0.1, seen in a and b");
  assertStringIncludes(out, "port unreachable, seen in b and a");
  assert(!out.includes("\x1b["));
});

Deno.test("examples/netfilter_hook.ts: the rule drops one port, and goes as it came", async () => {
  const out = await output("netfilter_hook.ts");
  assertEquals(out.trimEnd().split("\n"), [
    'port 7 received "to 7"',
    'dropped on b: {"NETFILTER_DROP":1}',
    'port 9 received "again" without the rule',
  ]);
});

Deno.test("examples/driver.ts: ping over a driver of one's own", async () => {
  const out = await output("driver.ts");
  assertStringIncludes(out, "56 bytes from 10.0.0.2: seq=3 ttl=64");
  assertStringIncludes(out, "cable0 of b: received 4 frames");
});

Deno.test("examples/node_http.ts: two requests over one connection, and everything is closed", async () => {
  const out = await output("node_http.ts");
  assertStringIncludes(out, '200 "hello 10.0.0.1, this is /"\n200 "hello 10.0.0.1, this is /again"\nclosed; copied');
});

Deno.test("examples/router.ts: traceroute names each hop", async () => {
  const out = await output("router.ts");
  assertMatch(
    out,
    / 1 {2}10\.0\.1\.1 +time exceeded\n 2 {2}10\.0\.2\.2 +time exceeded\n 3 {2}10\.0\.3\.2 +port unreach/,
  );
  assertStringIncludes(out, "TTL of the answer 62");
});

Deno.test("examples/swap.ts: hook, qdisc and driver are swapped under traffic; losses are what old queues held", async () => {
  const lines = (await output("swap.ts")).split("\n").filter((l) => l.includes("sent 80"));
  const numbers = lines.map((l) => /received +(\d+), lost (\d+)/.exec(l)!.slice(1).map(Number));
  assertEquals([numbers[0], numbers[1], numbers.at(-1)], [[80, 0], [20, 0], [80, 0]]);
  for (const [received, lost] of numbers.slice(2, -1)) {
    assert(lost > 0);
    assertEquals(received + lost, 80);
  }
});

Deno.test("examples/textbook_vs_kernel.ts: each difference with its numbers", async () => {
  const out = await output("textbook_vs_kernel.ts");
  for (
    const line of [
      "100 frames: 1 interrupt, 99 more causes while it was masked",
      "masked while NAPI polled: true; after the last packet: false",
      '100 packets at once ran in {"softirq":100}',
      '8000 packets at once ran in {"softirq":640,"ksoftirqd":7360}: ksoftirqd woken 1 time',
      "200 packets in one ring: 4 polls",
      "6 rings with 100 each: 1 run that ended with work left",
      "1000000 bytes copied in, 1000000 of 1000000 out",
      "704 segments left as clones, 13 of them sent again from the original: 0 bytes copied",
      "691 originals were freed when their ACK came",
      "4000 bytes left in 3 frames: 4000 copied in, 0 by fragmentation",
      "an MTU of 1000 left it in 2 frames: 1408 copied by fragmentation",
      '10 packets met the driver in {"process":10}',
      "at the wake-up the CPU had copied 1000 bytes (the sender's); recvmsg() then copied 1000",
    ]
  ) assertStringIncludes(out, line);
});

Deno.test("examples/tap_ping.ts: one line says what is missing, and what to run", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "examples/tap_ping.ts"],
    cwd: ROOT,
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  assertEquals([code, stdout.length], [1, 0]);
  const lines = new TextDecoder().decode(stderr).trimEnd().split("\n");
  assertEquals(lines.length, 1, lines.join("\n"));
  assertMatch(lines[0], /^Cannot open TAP tap0: .*run deno with --allow-ffi/);
});

testNeeding(
  ["root", "tun", "program:ip", "program:unshare", "program:ping"],
  "examples/tap_ping.ts: answers the kernel's ping and UDP, and ends cleanly",
  async () => {
    // The kernel's side of the interface, in a namespace of its own; bash speaks UDP itself.
    const script = `
      ip link set lo up
      "$DENO" run --no-prompt --allow-ffi examples/tap_ping.ts tap0 > "$OUT" 2>&1 &
      pid=$!
      for i in $(seq 100); do grep -q "is up" "$OUT" && break; sleep 0.1; done
      ip addr add 10.9.0.254/24 dev tap0 && ip link set tap0 up
      ping -c 3 -i 0.2 -W 2 10.9.0.1
      exec 3<>/dev/udp/10.9.0.1/7
      echo "hello kernel" >&3
      timeout 5 head -c 13 <&3
      kill -INT $pid
      wait $pid
      echo "exit code $?"
      cat "$OUT"`;
    const out = await Deno.makeTempFile();
    try {
      const { stdout, stderr } = await new Deno.Command("unshare", {
        args: ["-n", "bash", "-c", script],
        cwd: ROOT,
        stdin: "null",
        env: { DENO: Deno.execPath(), OUT: out, NO_COLOR: "1" },
        signal: AbortSignal.timeout(30_000),
      }).output();
      const text = new TextDecoder().decode(stdout);
      assertStringIncludes(text, "3 packets transmitted, 3 received, 0% packet loss", new TextDecoder().decode(stderr));
      assertStringIncludes(text, "hello kernel");
      assertStringIncludes(text, "exit code 0");
      assertMatch(text, /received \d+ frames, sent \d+/);
    } finally {
      await Deno.remove(out);
    }
  },
);

Deno.test("examples/nfqueue.ts: packets wait for the answer of user code", async () => {
  assertEquals((await output("nfqueue.ts")).trimEnd().split("\n"), [
    'packet 1 "one": accept',
    'received "one"',
    'packet 2 "a secret": drop',
    'packet 3 "two": accept',
    'received "two"',
  ]);
});

Deno.test("examples/tcp_echo.ts: an echo, then the end of the stream; copied in and out, nothing else", async () => {
  assertEquals((await output("tcp_echo.ts")).trimEnd().split("\n"), [
    "connected: 10.0.0.1 to 10.0.0.2:7",
    'the echo: "hello, and hello again", then end of stream',
    "copied by the CPU: 88 bytes (22 in and out on each way); by DMA: 960",
  ]);
});

Deno.test("examples/livelock.ts: with an interrupt a frame nothing is read in the end, with NAPI as much as ever", async () => {
  const out = await output("livelock.ts");
  assertMatch(out, /\ninterrupt +120\d{4} +0 +500000 /);
  assertMatch(out, /\nmoderated +120\d{4} +61\d{4} +0 /);
  assertMatch(out, /\n100 datagrams there and read: 2\d\d\.\d us of virtual time\n$/);
});

Deno.test("examples/congestion_control.ts: three of them, each with its figure", async () => {
  const lines = (await output("congestion_control.ts")).trimEnd().split("\n");
  assertEquals(lines.map((l) => l.split(" ")[0]), ["reno", "cubic", "greedy"]);
  for (const line of lines) assertMatch(line, / 2 MB in \d\.\d\d s, 1\d\.\d Mbit\/s$/);
});

Deno.test("examples/swap_tcp.ts: congestion control and drivers are replaced, no byte is lost", async () => {
  const out = await output("swap_tcp.ts");
  assertStringIncludes(out, "8000000 bytes came, 0 of them wrong");
  assertStringIncludes(out, "then the driver of b, which receives");
});

Deno.test("examples/ws_chat.ts: everybody reads everything, and all is closed", async () => {
  const lines = (await output("ws_chat.ts")).trimEnd().split("\n");
  for (const name of ["ann", "bob", "cem"]) {
    assert(lines.some((l) => l.startsWith(`${name} reads  cem`)), name);
  }
  assertEquals(lines.slice(-3), Array(3).fill("closed: 1000 bye"));
});

Deno.test("examples/tiny_transport.ts: a protocol of one's own is reliable over a bad wire, and copies once each way", async () => {
  const [came, again, out, end] = (await output("tiny_transport.ts")).trimEnd().split("\n");
  assertEquals(came, "50 of 50 messages came, in order, each once");
  assertMatch(again, /^[1-9]\d were sent again, from the original: 490 bytes copied in$/);
  assertMatch(out, /^490 bytes copied out, in \d\.\d s of virtual time$/);
  assertEquals(end, "closed: 0 packets are left");
});

Deno.test("examples/many_queues.ts: flows on queues and CPUs by RSS, RPS and threads; what a ring held is counted", async () => {
  const lines = (await output("many_queues.ts")).trimEnd().split("\n");
  for (const line of lines.slice(0, 5)) assertMatch(line, / received 1000$/);
  assertMatch(lines[0], /queues +2\d\d +2\d\d +2\d\d +2\d\d +CPUs +2\d\d +2\d\d +2\d\d +2\d\d /);
  assertMatch(lines[2], /CPUs +0 +0 +0 +1000 /);
  assertMatch(lines[4], /queues +1000 +CPUs +3\d\d +3\d\d +3\d\d +0 /);
  assertEquals(lines.at(-1), "ethtool -L combined 4, with frames in the ring: sent 50, received 0, lost 50");
});
