/**
 * Builds core/checksum_wasm.ts from tests/support/checksum.wat. Run `deno task wasm` after changing the latter; a test
 * compares.
 */

// deno-lint-ignore no-import-prefix -- used when this file is run and by its test, never by the package
import wabt from "npm:wabt@1.0.39";

const SOURCE = new URL("./checksum.wat", import.meta.url);
/** The file that is generated. */
export const TARGET: URL = new URL("../../core/checksum_wasm.ts", import.meta.url);

/** The text that core/checksum_wasm.ts should have. */
export async function generate(): Promise<string> {
  const tools = await wabt();
  const module = tools.parseWat("checksum.wat", await Deno.readTextFile(SOURCE), { simd: true, bulk_memory: true });
  module.resolveNames();
  module.validate();
  const { buffer } = module.toBinary({ write_debug_names: false });
  module.destroy();
  const base64 = btoa(String.fromCharCode(...buffer));
  const lines = base64.match(/.{1,110}/g)!;
  return `// Generated from tests/support/checksum.wat by \`deno task wasm\`. Do not edit.

/**
 * A WebAssembly module of ${buffer.length} bytes, as base64. It imports its memory as \`env.memory\` and exports
 * \`csum(ptr, len, initial)\`, \`copy_csum(dst, src, len, initial)\`, \`copy(dst, src, len)\` and
 * \`crc32(ptr, len, initial)\`. Sums are 16-bit one's complement sums in little-endian order, not complemented.
 */
export const CHECKSUM_WASM_BASE64: string = "" +
${lines.map((l) => `  "${l}"`).join(" +\n")};
`;
}

if (import.meta.main) await Deno.writeTextFile(TARGET, await generate());
