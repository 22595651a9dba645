/** One JavaScript file of a program and all it imports: for hosts that read no TypeScript. */

const ROOT = new URL("../../", import.meta.url).pathname;

async function bundle(entry: string, out: string, platform: "browser" | "deno"): Promise<string> {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", platform, "--format", "esm", "-o", out, entry],
    cwd: ROOT,
    stdin: "null",
    stdout: "null",
    env: { NO_COLOR: "1" },
  }).output();
  return code === 0 ? "" : new TextDecoder().decode(stderr) || `exit code ${code}`;
}

/** Whether there is a bundler: deno takes one from npm when it is first asked. Null: there is none. */
export async function bundler(): Promise<true | null> {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${dir}/in.ts`, "export const one: number = 1;\n");
    return await bundle(`${dir}/in.ts`, `${dir}/out.mjs`, "browser") === "" ? true : null;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Bundles a program, calls `fn` with the path of the file, and removes it. A program that cannot be bundled is an error. */
export async function withBundle<T>(
  entry: string,
  platform: "browser" | "deno",
  fn: (path: string) => Promise<T>,
): Promise<T> {
  const dir = await Deno.makeTempDir();
  try {
    const out = `${dir}/program.mjs`;
    const wrong = await bundle(entry, out, platform);
    if (wrong !== "") throw new Error(`Cannot bundle ${entry}: ${wrong}`);
    return await fn(out);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
