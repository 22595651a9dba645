/** `describe` and `it` as `@std/testing/bdd` has them, over `node:test`. */
import * as node from "node:test";

type Body = () => void | Promise<void>;

interface Block {
  (name: string, fn: Body): void;
  skip(name: string, fn: Body): void;
  ignore(name: string, fn: Body): void;
  only(name: string, fn: Body): void;
}

function block(base: typeof node.describe | typeof node.it): Block {
  // `node:test` hands the body a context and, if it asks for one, a callback: give it neither.
  const bare = (fn: Body) => () => fn();
  const run = ((name: string, fn: Body): void => void base(name, bare(fn))) as Block;
  run.skip = run.ignore = (name, fn) => void base(name, { skip: true }, bare(fn));
  run.only = (name, fn) => void base(name, { only: true }, bare(fn));
  return run;
}

export const describe: Block = block(node.describe);
export const it: Block = block(node.it);
export const test: Block = it;

export function beforeAll(fn: Body): void {
  node.before(() => fn());
}
export function afterAll(fn: Body): void {
  node.after(() => fn());
}
export function beforeEach(fn: Body): void {
  node.beforeEach(() => fn());
}
export function afterEach(fn: Body): void {
  node.afterEach(() => fn());
}
export { afterAll as after, beforeAll as before };
