/** `spy`, `stub` and their assertions as `@std/testing/mock` has them. */
// deno-lint-ignore-file no-explicit-any

export class MockError extends Error {
  override name = "MockError";
}

export interface SpyCall<Self = any, Args extends unknown[] = any[], Return = any> {
  args: Args;
  returned?: Return;
  error?: Error;
  self?: Self;
}

export interface Spy<Self = any, Args extends unknown[] = any[], Return = any> {
  (this: Self, ...args: Args): Return;
  original: (this: Self, ...args: Args) => Return;
  calls: SpyCall<Self, Args, Return>[];
  restored: boolean;
  restore(): void;
  [Symbol.dispose](): void;
}

function record(original: (...args: any[]) => any, restore: () => void): Spy {
  const calls: SpyCall[] = [];
  const spied = function (this: any, ...args: any[]): any {
    const call: SpyCall = { args };
    if (this) call.self = this;
    calls.push(call);
    try {
      return call.returned = original.apply(this, args);
    } catch (error) {
      call.error = error as Error;
      throw error;
    }
  } as Spy;
  spied.original = original;
  spied.calls = calls;
  spied.restored = false;
  spied.restore = () => {
    if (spied.restored) throw new MockError("Cannot restore: already restored");
    restore();
    spied.restored = true;
  };
  spied[Symbol.dispose] = () => {
    if (!spied.restored) spied.restore();
  };
  return spied;
}

function replace(self: any, property: PropertyKey, fn: (original: any) => any): Spy {
  const had = Object.getOwnPropertyDescriptor(self, property);
  const original = self[property];
  if (typeof original !== "function") throw new MockError(`Cannot spy: "${String(property)}" is not a method`);
  const spied = record(fn(original), () => {
    if (had) Object.defineProperty(self, property, had);
    else delete self[property];
  });
  spied.original = original;
  Object.defineProperty(self, property, { value: spied, configurable: true, writable: true });
  return spied;
}

export function spy(): Spy<any, any[], undefined>;
export function spy<Args extends unknown[], Return>(
  fn: (this: any, ...args: Args) => Return,
): Spy<any, Args, Return>;
export function spy<Self, Prop extends keyof Self>(
  self: Self,
  property: Prop,
): Self[Prop] extends (...args: infer A) => infer R ? Spy<Self, A, R> : never;
export function spy(self?: any, property?: PropertyKey): any {
  if (property !== undefined) return replace(self, property, (original) => original);
  return record(self ?? (() => undefined), () => {
    throw new MockError("Cannot restore: a function has nothing to restore");
  });
}

export type Stub<Self = any, Args extends unknown[] = any[], Return = any> = Spy<Self, Args, Return> & {
  fake: (this: Self, ...args: Args) => Return;
};

export function stub<Self, Prop extends keyof Self>(
  self: Self,
  property: Prop,
  fake?: Self[Prop] extends (...args: infer A) => infer R ? (this: Self, ...args: A) => R : never,
): Self[Prop] extends (...args: infer A) => infer R ? Stub<Self, A, R> : never;
export function stub(self: any, property: PropertyKey, fake: (...args: any[]) => any = () => undefined): any {
  return Object.assign(replace(self, property, () => fake), { fake });
}

export function assertSpyCalls(spied: Spy, expected: number): void {
  if (spied.calls.length !== expected) {
    throw new MockError(`Spy called ${spied.calls.length} times, expected ${expected}`);
  }
}

export function returnsNext<Return>(values: Iterable<Return | Error>): () => Return {
  const it = values[Symbol.iterator]();
  return () => {
    const next = it.next();
    if (next.done) throw new MockError("No more values to return");
    if (next.value instanceof Error) throw next.value;
    return next.value;
  };
}
