/**
 * Calls that wait in order.
 */

interface Waiter<T> {
  readonly bytes: Uint8Array;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Calls of one direction that wait, in order. The first is kept in fields: an application that awaits each call, as most
 * do, costs its promise and no other object.
 */
export class Waiting<T> {
  /** The first call's bytes; null: nobody waits. */
  bytes: Uint8Array | null = null;
  /** How many of them are done. */
  done = 0;
  #resolve: (value: T) => void = nothing;
  #reject: (error: unknown) => void = nothing;
  #behind: Waiter<T>[] | null = null;
  readonly #take = (resolve: (value: T) => void, reject: (error: unknown) => void): void => {
    this.#resolve = resolve;
    this.#reject = reject;
  };

  /** A call comes last; `done` of its bytes were moved, if it is the first. */
  add(bytes: Uint8Array, done = 0): Promise<T> {
    if (this.bytes === null) {
      this.bytes = bytes;
      this.done = done;
      return new Promise<T>(this.#take);
    }
    const behind = this.#behind ??= [];
    return new Promise<T>((resolve, reject) => behind.push({ bytes, resolve, reject }));
  }

  /** The first call is served; the next one is first. */
  resolve(value: T): void {
    const resolve = this.#resolve;
    this.#next();
    resolve(value);
  }

  /** The first call fails; the next one is first. */
  reject(error: unknown): void {
    const reject = this.#reject;
    this.#next();
    reject(error);
  }

  #next(): void {
    const next = this.#behind?.shift();
    this.done = 0;
    this.bytes = next?.bytes ?? null;
    this.#resolve = next?.resolve ?? nothing;
    this.#reject = next?.reject ?? nothing;
  }
}

function nothing(): void {}
