// An application for a lab file: accepts connections on `options.port` and reads what comes. See bufferbloat.yaml.
import type { Host } from "@netpath/stack";

export default async (host: Host, { options }: { options: { port: number } }): Promise<void> => {
  using listener = host.listen({ port: options.port });
  for await (const conn of listener) conn.readable.pipeTo(new WritableStream()).catch(() => {}); // cut off when the lab stops
};
