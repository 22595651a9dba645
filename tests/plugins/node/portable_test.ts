/** Core, the protocol plugins and the faces run where Deno is not: the same bytes on the wire in Node 20 and in Chromium. */
import { assert, assertEquals } from "@std/assert";
import { bundler, withBundle } from "../../support/bundle.ts";
import { needing, tryImport } from "../../support/npm.ts";
import { type Course, course } from "../deno/portable_program.ts";

const PROGRAM = "tests/plugins/deno/portable_program.ts";
const NODE_PROGRAM = "tests/plugins/node/portable_program.ts";

/** Major version of the `node` on the PATH if it is 20 or newer; null: there is none. */
async function node(): Promise<number | null> {
  try {
    const { stdout } = await new Deno.Command("node", { args: ["--version"], stderr: "null" }).output();
    const major = Number(/^v(\d+)/.exec(new TextDecoder().decode(stdout))?.[1] ?? 0);
    return major >= 20 ? major : null;
  } catch {
    return null;
  }
}

function chromiumPath(): string | null {
  return ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  }) ?? null;
}

/** What is used of playwright-core. */
interface Playwright {
  chromium: {
    launch(options: { executablePath: string; args: string[] }): Promise<{
      newPage(): Promise<{
        route(url: string, handler: (route: Route) => unknown): Promise<void>;
        goto(url: string): Promise<unknown>;
        evaluate<T>(script: string): Promise<T>;
      }>;
      close(): Promise<void>;
    }>;
  };
}
interface Route {
  request(): { url(): string };
  fulfill(answer: { contentType: string; body: string }): Promise<void>;
}

const BUNDLER = { "deno bundle": await bundler() };
const NODE = { ...BUNDLER, "node 20": await node() };
const PLAYWRIGHT = "npm:playwright-core@1.56.1";
const CHROMIUM = { ...BUNDLER, chromium: chromiumPath(), [PLAYWRIGHT]: await tryImport<Playwright>(PLAYWRIGHT) };

/** What a script of Node prints. */
async function runNode(args: string[]): Promise<unknown> {
  const { code, stdout, stderr } = await new Deno.Command("node", { args, stdin: "null" }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  assertEquals([code, text(stderr)], [0, ""]);
  return JSON.parse(text(stdout));
}

let reference: Promise<Course> | null = null;
/** What Deno gives. */
const expected = (): Promise<Course> => reference ??= course();

Deno.test("the course of events in Deno", async () => {
  const { frames, tcp, http, refused, leaks } = await expected();
  assert(frames > 300);
  assertEquals([tcp, refused, leaks], [[200_000, 0], ["ConnectionRefused", "ECONNREFUSED"], 0]);
  assertEquals(http, [[200, "/one body"], [200, "/two body"]]);
});

Deno.test({
  ...needing("Node 20 runs core, the protocols, the Deno face and HTTP: the same bytes as in Deno", NODE),
  fn: () =>
    withBundle(PROGRAM, "browser", async (path) => {
      const script = `import { course } from ${JSON.stringify(path)}; console.log(JSON.stringify(await course()));`;
      assertEquals(await runNode(["--input-type=module", "--eval", script]), await expected());
    }),
});

Deno.test({
  ...needing("Node 20 runs the Node face: node:net's shape, and its own node:http over the stack", NODE),
  fn: () =>
    withBundle(NODE_PROGRAM, "deno", async (path) => {
      assertEquals(await runNode([path]), {
        text: "hello",
        answers: [[200, 0], [200, 100_000], [200, 200_000]],
        refused: ["ECONNREFUSED", "connect", 81],
        leaks: 0,
      });
    }),
});

Deno.test({
  ...needing("Chromium runs core, the protocols, the Deno face and HTTP: the same bytes as in Deno", CHROMIUM),
  // The browser's pipes belong to playwright, which closes them when the browser has ended.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: () =>
    withBundle(PROGRAM, "browser", async (path) => {
      const { chromium } = CHROMIUM[PLAYWRIGHT] as Playwright;
      const body = await Deno.readTextFile(path);
      const browser = await chromium.launch({ executablePath: CHROMIUM.chromium!, args: ["--no-sandbox"] });
      try {
        const page = await browser.newPage();
        // Nothing is asked of a network: the page and the module come from here.
        await page.route("**/*", (route) =>
          route.request().url().endsWith("/program.mjs")
            ? route.fulfill({ contentType: "text/javascript", body })
            : route.fulfill({ contentType: "text/html", body: "<!doctype html><title>netpath</title>" }));
        await page.goto("http://netpath.test/");
        assertEquals(await page.evaluate<Course>(`import("/program.mjs").then((m) => m.course())`), await expected());
      } finally {
        await browser.close();
      }
    }),
});
