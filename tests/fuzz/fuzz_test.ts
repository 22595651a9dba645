/** A short run of the fuzzer in every test run; `deno task fuzz --seconds N` goes on. */
import { fuzzOnce } from "./main.ts";

for (const seed of [1, 2, 3]) {
  Deno.test(`2,400 mutated frames of seed ${seed}: no throw, no leak, no memory held`, () => {
    fuzzOnce(seed, 800);
  });
}
