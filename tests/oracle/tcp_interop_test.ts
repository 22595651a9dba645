/** The kernel's TCP and its programs against netpath's over a TAP, in namespaces of the test's own. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { amount } from "./full.ts";
import { type Need, testNeeding } from "../support/needs.ts";

const NEEDS: Need[] = ["root", "tun", "program:unshare", "program:ip"];
const MB = 1_000_000;
/** Megabytes of the large file; `tap_http_test.ts` moves 100 always. */
const BIG = amount(100, 20);
/** Bytes of each run of iperf3. */
const IPERF = amount(200 * MB, 20 * MB);

/** What every try prints; the rest is its own. */
interface Seen {
  drops: Record<string, number>;
  faults: unknown[];
  errors: string[];
}

/** Runs `tcp_interop_worker.ts`; `sizes`: bytes of the large file of "http" and of each of fifty, or of iperf3. */
async function worker<T>(what: string, sizes: number[] = []): Promise<T & Seen> {
  const script = new URL("./tcp_interop_worker.ts", import.meta.url).pathname;
  const dir = await Deno.makeTempDir({ prefix: "netpath-interop-" });
  try {
    const { success, stdout, stderr } = await new Deno.Command("unshare", {
      args: ["-n", Deno.execPath(), "run", "--no-check", "-A", script, what, dir, ...sizes.map(String)],
      stdout: "piped",
      stderr: "piped",
    }).output();
    const text = new TextDecoder();
    assert(success, text.decode(stderr) + text.decode(stdout));
    const seen = JSON.parse(text.decode(stdout).trim().split("\n").at(-1)!) as T & Seen;
    assertEquals([seen.faults, seen.errors], [[], []]);
    assertEquals(seen.drops["NOT_SPECIFIED"], undefined);
    assertEquals([seen.drops["TCP_CSUM"], seen.drops["IP_CSUM"]], [undefined, undefined]);
    return seen;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

testNeeding(
  [...NEEDS, "program:curl", "program:sha256sum"],
  `curl and the Deno-like face: ${BIG} MB each way with equal SHA-256, 50 requests at once, several on one connection`,
  async () => {
    const seen = await worker<{
      expected: string;
      download: string;
      upload: string;
      parallel: number;
      keepAlive: string[];
      failed: string[];
    }>("http", [BIG * MB, amount(MB, MB / 5)]);
    assertEquals(seen.download, seen.expected);
    assertEquals(seen.upload, `${BIG * MB} ${seen.expected}`);
    assertEquals(seen.parallel, 50);
    assertEquals(seen.keepAlive, ["1 1000", "0 2000", "0 3000", "0 4000", "0 5000"]);
    assertEquals(seen.failed, []);
  },
);

testNeeding(
  [...NEEDS, "program:curl", "program:tshark"],
  "tshark finds no malformed packet and no bad checksum in our captures",
  async () => {
    const seen = await worker<{
      download: boolean;
      upload: string;
      refused: string;
      ourRefused: string;
      bad: string;
      good: number;
      failed: string[];
    }>("capture");
    assertEquals([seen.download, seen.upload], [true, `${2 * MB}`]);
    assertMatch(seen.refused, /Connection refused|Failed to connect/);
    assertEquals(seen.ourRefused, "ConnectionRefused");
    assertEquals(seen.bad, "");
    assert(seen.good > 3000, `${seen.good} TCP checksums`);
    assertEquals(seen.failed, []);
  },
);

testNeeding(
  NEEDS,
  "the kernel's Deno.listen() accepts our connect(): 20 MB each way at once, then half-closes",
  async () => {
    const seen = await worker<{ size: number; ours: unknown; kernel: unknown }>("toKernel");
    assertEquals(seen.ours, { got: seen.size, right: true });
    assertEquals(seen.kernel, { got: seen.size, right: true, from: "10.7.0.2" });
  },
);

testNeeding(NEEDS, "a slow reader (zero window for 10 s) loses nothing, on either side", async () => {
  const seen = await worker<{ expected: unknown; kernel: unknown; ours: unknown; took: number[] }>("slowReaders");
  assertEquals(seen.kernel, seen.expected);
  assertEquals(seen.ours, seen.expected);
  assert(seen.took.every((ms) => ms > 9000), `the writers were held for ${seen.took} ms`);
});

testNeeding(
  [...NEEDS, "program:iperf3"],
  "iperf3 both ways against a server of ours, one stream and four",
  async () => {
    type Run = { bytes: number; error?: string; sent: number; received: number };
    const { runs } = await worker<{ runs: Record<string, Run> }>("iperf", [IPERF]);
    assertEquals(Object.keys(runs), ["in", "out", "in4", "out4"]);
    for (const [name, run] of Object.entries(runs)) {
      assertEquals(run.error, undefined, name);
      const moved = name.startsWith("in") ? run.sent : run.received;
      assert(moved >= IPERF, `${name}: ${JSON.stringify(run)}`);
      if (name.startsWith("in")) assertEquals(run.bytes, run.sent, name);
      else assert(run.bytes >= run.received, `${name}: ${JSON.stringify(run)}`);
    }
  },
);

testNeeding(
  [...NEEDS, "program:iperf3", "program:nsenter"],
  "iperf3 between two kernels through a router of ours",
  async () => {
    const { received } = await worker<{ received: { there: number; back: number } }>("forward", [IPERF]);
    // What is on its way when enough was sent is not counted: up to a send buffer of 4 MB.
    const enough = IPERF / 2;
    assert(received.there > enough && received.back > enough, JSON.stringify(received));
  },
);
