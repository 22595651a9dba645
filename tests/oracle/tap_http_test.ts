/** The kernel's curl against `examples/tap_http.ts`, as its first lines say, in a namespace of the test's own. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { amount } from "./full.ts";
import { testNeeding } from "../support/needs.ts";

/** Bytes of each file of fifty. */
const PART = amount(1_000_000, 200_000);

interface Seen {
  first: string;
  expected: string;
  upload: string;
  download: string;
  connectsUp: number;
  parallelUp: number;
  connectsDown: number;
  parallelDown: number;
  keepAlive: string[];
  missing: string;
  last: string;
  code: number;
}

async function worker(): Promise<Seen> {
  const script = new URL("./tap_http_worker.ts", import.meta.url).pathname;
  const dir = await Deno.makeTempDir({ prefix: "netpath-tap-http-" });
  try {
    const { success, stdout, stderr } = await new Deno.Command("unshare", {
      args: ["-n", Deno.execPath(), "run", "--no-check", "-A", script, dir, `${PART}`],
      stdout: "piped",
      stderr: "piped",
    }).output();
    const text = new TextDecoder();
    assert(success && stderr.length === 0, text.decode(stderr) + text.decode(stdout));
    return JSON.parse(text.decode(stdout)) as Seen;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

testNeeding(
  ["root", "tun", "program:unshare", "program:ip", "program:curl", "program:sha256sum"],
  "examples/tap_http.ts and curl: 100 MB up and down, 50 requests at once, keep-alive",
  async (t) => {
    const seen = await worker();
    const step = (name: string, fn: () => void): Promise<boolean> => t.step(name, fn);
    await step("100 MB up and down have the same SHA-256", () => {
      assertEquals(seen.first, "http://10.9.0.1/");
      assertEquals([seen.upload, seen.download], [seen.expected, seen.expected]);
    });
    await step("50 uploads at once, on 50 connections", () => {
      assertEquals([seen.parallelUp, seen.connectsUp], [50, 50]);
    });
    await step("50 downloads at once, on 50 connections", () => {
      assertEquals([seen.parallelDown, seen.connectsDown], [50, 50]);
    });
    await step("five requests on one connection", () => {
      const sizes = [0, 1, 2, 3, 4].map((i) => PART + i);
      assertEquals(seen.keepAlive, sizes.map((size, i) => `${i === 0 ? 1 : 0} 200 ${size}`));
      assertEquals(seen.missing, "404");
    });
    await step("Ctrl-C ends it", () => {
      assertMatch(seen.last, /^received \d+ frames, sent \d+$/);
      assertEquals(seen.code, 0);
    });
  },
);
