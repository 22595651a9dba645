/**
 * How the host of the TCP oracle is set up.
 *
 * @module
 */

/** The host under test. */
export interface TcpScenario {
  mtu: number;
  /** Without the leading `net.`, on top of {@linkcode TCP_SYSCTLS}. */
  sysctls: Record<string, string | number>;
  /** netpath makes super-packets, and software cuts them, as Linux does for every device. */
  gso: boolean;
}

/** Linux's default. A machine may have another, and a namespace may not choose one that is restricted: a socket of root's may. */
export const TCP_CONGESTION_CONTROL = "cubic";

/** Linux's defaults, no limits of rate, no memory of former connections, and each SACK is sent at once. */
export const TCP_SYSCTLS: Record<string, string | number> = {
  "ipv4.tcp_invalid_ratelimit": 0,
  "ipv4.tcp_challenge_ack_limit": 0x7fffffff,
  "ipv4.tcp_no_metrics_save": 1,
  "ipv4.tcp_ecn": 0,
  "ipv4.tcp_comp_sack_nr": 0,
  "ipv4.tcp_max_syn_backlog": 4096,
  "core.somaxconn": 4096,
};

/** An ordinary link. */
export const ETHERNET: TcpScenario = { mtu: 1500, sysctls: {}, gso: true };

/** The same, and netpath's TCP cuts the segments itself. */
export const ETHERNET_WITHOUT_GSO: TcpScenario = { ...ETHERNET, gso: false };
