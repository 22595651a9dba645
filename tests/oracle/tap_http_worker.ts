/**
 * Runs `examples/tap_http.ts` by its own command and sends it curl, in the network namespace that this script was started in. Prints
 * what it saw as JSON.
 *
 *     unshare -n DENO run -A tap_http_worker.ts DIRECTORY BYTES-OF-EACH-OF-FIFTY-FILES
 *
 * @module
 */

import { createHash } from "node:crypto";
import { Stream } from "../support/stream.ts";

const MB = 1_000_000;
const ROOT = new URL("../../", import.meta.url).pathname;
const URL_OF_IT = "http://10.9.0.1";
const [dir, part] = Deno.args;
const text = new TextDecoder();

/** What was sent, and what is to be: bytes, SHA-256. */
interface File {
  path: string;
  bytes: number;
  hash: string;
}

/** A command; its output. Bounded to two minutes. */
async function sh(command: string): Promise<string> {
  const { stdout, stderr } = await new Deno.Command("timeout", {
    args: ["120", "sh", "-c", command],
    env: { LC_ALL: "C" },
  }).output();
  return (text.decode(stdout) + text.decode(stderr)).trim();
}

/** Writes `bytes` bytes of stream `seed`, in which no two places look alike. */
async function file(name: string, seed: number, bytes: number): Promise<File> {
  const path = `${dir}/${name}`;
  const hash = createHash("sha256");
  const stream = new Stream(seed);
  using out = await Deno.open(path, { write: true, create: true });
  for (let at = 0; at < bytes;) {
    const chunk = stream.at(at, Math.min(65_536, bytes - at));
    hash.update(chunk);
    for (let done = 0; done < chunk.length;) done += await out.write(chunk.subarray(done));
    at += chunk.length;
  }
  return { path, bytes, hash: hash.digest("hex") };
}

async function hashOf(path: string): Promise<string> {
  return (await sh(`sha256sum ${path}`)).split(" ")[0];
}

/** The example, by the command of its first line. */
function example(): Deno.ChildProcess {
  const [first] = Deno.readTextFileSync(`${ROOT}examples/tap_http.ts`).split("\n");
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--no-prompt", "--quiet", ...first.split(" ").slice(3)],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
    env: { NO_COLOR: "1" },
  }).spawn();
}

/** The lines of its stdout, one by one. */
async function* lines(child: Deno.ChildProcess): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of child.stdout) {
    rest += text.decode(chunk);
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
      yield rest.slice(0, end);
      rest = rest.slice(end + 1);
    }
  }
}

/** One curl for all of `files` at once; how many connections it made. */
async function atOnce(files: readonly File[], options: (file: File, i: number) => string[]): Promise<number> {
  const config = files.map((file, i) => ['write-out = "%{num_connects}\\n"', ...options(file, i)].join("\n"));
  await Deno.writeTextFile(`${dir}/config`, config.join("\nnext\n"));
  const out = await sh(`curl --no-progress-meter --parallel --parallel-immediate --parallel-max 50 -K ${dir}/config`);
  return out.split("\n").reduce((sum, line) => sum + Number(line), 0);
}

await sh("ip link set lo up; ip tuntap add dev tap0 mode tap; ip addr add 10.9.0.254/24 dev tap0; ip link set tap0 up");
const seen: Record<string, unknown> = {};
const child = example();
const output = lines(child);
seen.first = (await output.next()).value;

const big = await file("big", 1, 100 * MB);
seen.expected = big.hash;
seen.upload = await sh(`curl -sS -T ${big.path} ${URL_OF_IT}/big`);
seen.download = await sh(`curl -sS ${URL_OF_IT}/big | sha256sum | cut -d " " -f 1`);

const files = await Promise.all(Array.from({ length: 50 }, (_, i) => file(`part${i}`, 100 + i, Number(part) + i)));
seen.connectsUp = await atOnce(files, ({ path }, i) => [
  `upload-file = "${path}"`,
  `url = "${URL_OF_IT}/part${i}"`,
  `output = "${dir}/said${i}"`,
]);
const said = files.map(({ hash }, i) => Deno.readTextFileSync(`${dir}/said${i}`) === `${hash}\n`);
seen.parallelUp = said.filter((right) => right).length;
seen.connectsDown = await atOnce(files, (_, i) => [`url = "${URL_OF_IT}/part${i}"`, `output = "${dir}/got${i}"`]);
const got = await Promise.all(files.map(async ({ hash }, i) => await hashOf(`${dir}/got${i}`) === hash));
seen.parallelDown = got.filter((right) => right).length;

const one = [0, 1, 2, 3, 4].map((i) => `-o /dev/null ${URL_OF_IT}/part${i}`).join(" ");
seen.keepAlive = (await sh(`curl -sS -w "%{num_connects} %{http_code} %{size_download}\\n" ${one}`)).split("\n");
seen.missing = await sh(`curl -sS -o /dev/null -w "%{http_code}" ${URL_OF_IT}/nothing`);

child.kill("SIGINT");
seen.last = (await output.next()).value;
seen.code = (await child.status).code;
console.log(JSON.stringify(seen));
Deno.exit(0);
