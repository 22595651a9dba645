// An application for a lab file: sends to `options.to` port `options.port` until the lab stops. See bufferbloat.yaml.
import type { Host } from "@netpath/stack";

type Context = { options: { to: string; port: number }; signal: AbortSignal };

export default async (host: Host, { options, signal }: Context): Promise<void> => {
  using conn = await host.connect({ hostname: options.to, port: options.port });
  const chunk = new Uint8Array(65536);
  while (!signal.aborted) await conn.write(chunk);
};
