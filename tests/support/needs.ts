/** Tests that need something a machine may not have: they say so and are skipped, by name, where it is missing. */

/** `root`, `tun` (/dev/net/tun), or the name of a program that must be on the PATH. */
export type Need = "root" | "tun" | `program:${string}`;

function has(need: Need): boolean {
  if (need === "root") return Deno.uid() === 0;
  const paths = need === "tun"
    ? ["/dev/net/tun"]
    : [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin", "/sbin"].map((d) => `${d}/${need.slice(8)}`);
  return paths.some((path) => {
    try {
      return !Deno.statSync(path).isDirectory;
    } catch {
      return false;
    }
  });
}

/** `Deno.test`, skipped with `[needs ...]` in its name when something it needs is not there. */
export function testNeeding(needs: Need[], name: string, fn: (t: Deno.TestContext) => void | Promise<void>): void {
  const missing = needs.filter((need) => !has(need));
  const why = missing.length > 0 ? ` [needs ${missing.map((m) => m.replace("program:", "")).join(", ")}]` : "";
  Deno.test({ name: name + why, ignore: missing.length > 0, fn });
}
