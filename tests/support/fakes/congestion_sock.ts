/** A connection as a congestion control sees it, without a network: ACKs come as the test says. */
import type { Machine } from "../../../core/mod.ts";
import type { TcpCongestionOps, TcpCongestionSock } from "../../../plugins/transport/tcp/contract.ts";
import type { Sock } from "../../../plugins/transport/sock/mod.ts";

const MSS = 1448;

/** See the top. */
export class FakeCongestionSock implements TcpCongestionSock {
  readonly sk: Sock;
  sndCwnd = 10;
  sndCwndCnt = 0;
  sndCwndClamp = 0x7fffffff;
  sndSsthresh = 0x7fffffff;
  priorCwnd = 0;
  isCwndLimited = true;
  packetsOut = 10;
  maxPacketsOut = 10;
  sackedOut = 0;
  lostOut = 0;
  retransOut = 0;
  delivered = 0;
  deliveredCe = 0;
  sndUna = 1;
  sndNxt = 1;
  srttUs = 0;
  mssCache = MSS;
  tcpMstamp = 1_000_000;
  icskCaState = 0;
  pacingRate = 0;
  skPacingRate = 0;
  lsndtime = 0;
  rttMinUs = -1;
  icskCaPriv: unknown = null;
  readonly #clock = { jiffies: 1000 };

  constructor(readonly ops: TcpCongestionOps) {
    this.sk = { machine: this.#clock as Machine } as Sock;
    ops.init(this);
  }

  /** The clock goes on. */
  pass(us: number): void {
    this.tcpMstamp = (this.tcpMstamp + us) | 0;
    this.#clock.jiffies = Math.floor(this.tcpMstamp / 1000);
  }

  /** One ACK for `acked` packets, `rttUs` after they were sent. */
  ack(acked: number, rttUs: number): void {
    this.sndUna = (this.sndUna + acked * MSS) | 0;
    this.sndNxt = (this.sndUna + this.sndCwnd * MSS) | 0;
    this.delivered += acked;
    this.srttUs = rttUs << 3;
    this.packetsOut = this.maxPacketsOut = this.sndCwnd;
    this.ops.inAckEvent(this, 0);
    this.ops.pktsAcked(this, acked, rttUs);
    this.ops.congAvoid(this, this.sndUna, acked);
  }

  /** A window's worth of ACKs, all at the end of `rttUs`: a path that is far from full. */
  burst(rttUs: number, per = 1): void {
    const acks = Math.ceil(this.sndCwnd / per);
    this.pass(rttUs);
    for (let i = 0; i < acks; i++) this.ack(per, rttUs);
  }

  /** A window's worth of ACKs, spread over `rttUs`; each acknowledges `per` packets. */
  round(rttUs: number, per = 1): void {
    const acks = Math.ceil(this.sndCwnd / per);
    for (let i = 0; i < acks; i++) {
      this.pass(rttUs / acks);
      this.ack(per, rttUs);
    }
  }

  /** A loss, by duplicates (state 3) or by timeout (4), and its end. */
  lose(state: 3 | 4): void {
    this.priorCwnd = this.sndCwnd;
    this.sndSsthresh = this.ops.ssthresh(this);
    if (state === 4) this.ops.cwndEvent(this, 3);
    this.ops.setState(this, this.icskCaState = state);
    this.sndCwndCnt = 0;
    this.sndCwnd = state === 4 ? 1 : this.sndSsthresh;
    if (state === 3) this.ops.cwndEvent(this, 2);
    this.ops.setState(this, this.icskCaState = 0);
  }
}
