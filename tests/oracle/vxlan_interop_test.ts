/** A VXLAN segment between the kernel's `vxlan` device and netpath's, in a namespace of the test's own. */
import { assert, assertEquals } from "@std/assert";
import { testNeeding } from "../support/needs.ts";

interface Seen {
  missing?: string;
  expected: string;
  ping: string;
  longPing: string;
  dfPing: string;
  pingBack: number;
  curl: string;
  missing404: string;
  refused: string;
  fetched: string;
  uploaded: string;
  fdb: string[];
  learnt: { mac: string; dst: string }[];
  kernelMac: string;
  mac: string;
  otherVni: boolean;
  stranger: boolean;
  received: number;
  rxErrors: number[];
}

async function worker(...args: string[]): Promise<Seen> {
  const script = new URL("./vxlan_interop_worker.ts", import.meta.url).pathname;
  const { success, stdout, stderr } = await new Deno.Command("unshare", {
    args: ["-n", Deno.execPath(), "run", "--no-check", "-A", script, ...args],
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder();
  assert(success && stderr.length === 0, text.decode(stderr) + text.decode(stdout));
  return JSON.parse(text.decode(stdout)) as Seen;
}

/** Whether this kernel has VXLAN: asked of `ip`, in a namespace that ends with the question. */
function hasVxlan(): boolean {
  try {
    const args = ["-n", "ip", "link", "add", "vxlan0", "type", "vxlan", "id", "1", "dstport", "4789"];
    return new Deno.Command("unshare", { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

const needs = [
  "root",
  "tun",
  "program:unshare",
  "program:ip",
  "program:bridge",
  "program:curl",
  "program:ping",
] as const;
const vxlanNeed = hasVxlan() ? [] : ["program:vxlan in the kernel"] as const;

for (const offloads of [false, true]) {
  testNeeding(
    [...needs, ...vxlanNeed],
    `the kernel's vxlan and netpath's, over a TAP ${
      offloads ? "with" : "without"
    } offloads: ping, curl and fetch both ways`,
    async (t) => {
      const seen = await worker(...(offloads ? ["--offloads"] : []));
      const step = (name: string, fn: () => void): Promise<boolean> => t.step(name, fn);
      await step("ping: short, in fragments, and the longest that fits 1450 with DF; and from here", () => {
        assertEquals([seen.ping, seen.longPing, seen.dfPing, seen.pingBack], [
          "3 received",
          "2 received",
          "1 received",
          64,
        ]);
      });
      await step("curl fetches 10 MB from node:http here; a missing page and a closed port are told", () => {
        assertEquals([seen.curl, seen.missing404], [seen.expected, "404"]);
        assert(seen.refused.startsWith("curl: (7)") && seen.refused.endsWith("\n7"), seen.refused);
      });
      await step("from here 10 MB are fetched from the kernel's side, and sent there", () => {
        assertEquals([seen.fetched, seen.uploaded], [seen.expected, seen.expected]);
      });
      await step("each has learnt the other's address", () => {
        assertEquals(seen.fdb.length, 1);
        assert(seen.fdb[0].startsWith(`${seen.mac} dst 192.0.2.1`), seen.fdb[0]);
        assertEquals(seen.learnt.map(({ mac, dst }) => [mac, dst]), [[seen.kernelMac, "192.0.2.254"]]);
      });
      await step("[A14] the kernel's other segment, and the right segment from another address, do not come in", () => {
        assertEquals([seen.otherVni, seen.stranger, seen.received], [true, true, 0]);
        assertEquals(seen.rxErrors, [0, 0]);
      });
    },
  );
}
