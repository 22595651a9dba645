/**
 * Puts tests/support/checksum.wat, compiled, into core/checksum.ts. Run `deno task wasm` after changing the latter; a test
 * compares.
 */

// deno-lint-ignore no-import-prefix -- used when this file is run and by its test, never by the package
import wabt from "npm:wabt@1.0.39";

const SOURCE = new URL("./checksum.wat", import.meta.url);
/** The file that holds the module. */
export const TARGET: URL = new URL("../../core/checksum.ts", import.meta.url);

/** The text that core/checksum.ts should have: its own, with the constant from the source. */
export async function generate(): Promise<string> {
  const tools = await wabt();
  const module = tools.parseWat("checksum.wat", await Deno.readTextFile(SOURCE), { simd: true, bulk_memory: true });
  module.resolveNames();
  module.validate();
  const { buffer } = module.toBinary({ write_debug_names: false });
  module.destroy();
  const base64 = btoa(String.fromCharCode(...buffer));
  const text = await Deno.readTextFile(TARGET);
  return text.replace(/(CHECKSUM_WASM_BASE64: string =\s+")[^"]*"/, `$1${base64}"`);
}

if (import.meta.main) await Deno.writeTextFile(TARGET, await generate());
