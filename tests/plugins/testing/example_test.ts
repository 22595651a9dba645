/** examples/testing.ts runs by the command of its first line. */
import { assertEquals, assertStringIncludes } from "@std/assert";

const ROOT = new URL("../../../", import.meta.url).pathname;

Deno.test("examples/testing.ts: three tests of a client, and a failure that says where its files are", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-write", "examples/testing.ts"],
    cwd: ROOT,
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  assertEquals([code, text(stderr)], [0, ""]);
  const out = text(stdout);
  assertStringIncludes(out, "1. answered: 0.040000000 client:eth0 out");
  assertStringIncludes(out, "2. answered by the third question, after 2040 ms; 2 were lost");
  assertStringIncludes(out, "3. dropped: 0.000000000 server:eth0 drop UDP 10.0.0.1:");
  assertStringIncludes(
    out,
    "does not go server:ip_forward:\nit does not come to server:ip_forward; its way:\n  client: ",
  );
  assertStringIncludes(out, "capture: netpath-.../lab.pcapng\njourney: netpath-.../journey.txt");
});
