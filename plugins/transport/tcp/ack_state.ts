/**
 * What one ACK tells: flags, and the record that its stages fill one after the other. One record per net, reused: ACKs
 * are processed one at a time. Linux: FLAG_*, struct tcp_sacktag_state, struct rate_sample.
 */
import type { RateSample } from "./contract.ts";

/** The segment has data. Linux: FLAG_*, net/ipv4/tcp_input.c. */
export const FLAG_DATA = 0x01;
/** It updates the window. */
export const FLAG_WIN_UPDATE = 0x02;
/** It acknowledges data. */
export const FLAG_DATA_ACKED = 0x04;
/** Some of that was retransmitted. */
export const FLAG_RETRANS_DATA_ACKED = 0x08;
/** It acknowledges our SYN. */
export const FLAG_SYN_ACKED = 0x10;
/** It SACKs data that was not SACKed before. */
export const FLAG_DATA_SACKED = 0x20;
/** It echoes a congestion mark. */
export const FLAG_ECE = 0x40;
/** A retransmission was found lost. */
export const FLAG_LOST_RETRANS = 0x80;
/** It came by the slow path: windows and options are to be looked at. */
export const FLAG_SLOWPATH = 0x100;
/** Data that was never retransmitted was delivered. */
export const FLAG_ORIG_SACK_ACKED = 0x200;
/** SND.UNA moves. */
export const FLAG_SND_UNA_ADVANCED = 0x400;
/** It has a D-SACK block. */
export const FLAG_DSACKING_ACK = 0x800;
/** Probe and retransmission timer are to be set again. */
export const FLAG_SET_XMIT_TIMER = 0x1000;
/** The receiver forgot what it had SACKed. */
export const FLAG_SACK_RENEGING = 0x2000;
/** TS.Recent may be taken from it. */
export const FLAG_UPDATE_TS_RECENT = 0x4000;
/** No challenge ACK for it. */
export const FLAG_NO_CHALLENGE_ACK = 0x8000;
/** The receiver seems to have delayed it. */
export const FLAG_ACK_MAYBE_DELAYED = 0x10000;
/** Its D-SACK is about the tail loss probe. */
export const FLAG_DSACK_TLP = 0x20000;
/** It acknowledges anything. */
export const FLAG_ACKED = FLAG_DATA_ACKED | FLAG_SYN_ACKED;
/** It is no duplicate ACK. */
export const FLAG_NOT_DUP = FLAG_DATA | FLAG_WIN_UPDATE | FLAG_ACKED;
/** Something is out of the ordinary. */
export const FLAG_CA_ALERT = FLAG_DATA_SACKED | FLAG_ECE | FLAG_DSACKING_ACK;
/** The peer has more than before. */
export const FLAG_FORWARD_PROGRESS = FLAG_ACKED | FLAG_DATA_SACKED;

/** After this ACK nothing more is sent than window and queue say. Linux: REXMIT_*. */
export const REXMIT_NONE = 0;
/** Lost segments are sent again. */
export const REXMIT_LOST = 1;
/** F-RTO: new data is sent first. */
export const REXMIT_NEW = 2;

/** {@linkcode TcpCongestionOps.inAckEvent}: the slow path. Linux: enum tcp_ca_ack_event_flags. */
export const CA_ACK_SLOWPATH = 1;
/** The window was updated. */
export const CA_ACK_WIN_UPDATE = 2;
/** The mark was echoed. */
export const CA_ACK_ECE = 4;

/** One ACK. */
export class TcpAckState implements RateSample {
  /** FLAG_* of the ACK at hand. */
  flag = 0;
  /** REXMIT_*. */
  rexmit: number = REXMIT_NONE;
  /** Lowest newly SACKed sequence number that was not retransmitted and lies in a hole. */
  reord = 0;
  /** When the first newly SACKed one of those was sent; 0: none. */
  firstSackt = 0;
  /** When the last one was sent. */
  lastSackt = 0;
  /** When the first segment was sent that is acknowledged now and was sent once; 0: none. */
  firstAckt = 0;
  /** When the last one was. */
  lastAckt = 0;
  /** The lowest of them. */
  lowest = 0;
  /** Segments that are acknowledged now. */
  pktsAcked = 0;
  /** The ACK does not end inside a super-packet. */
  whole = true;
  /** See {@linkcode RateSample}, as the following. */
  priorDelivered = 0;
  delivered = -1;
  intervalUs = -1;
  rttUs = -1;
  losses = 0;
  ackedSacked = 0;
  priorInFlight = 0;
  priorMstamp = 0;
  isAppLimited = false;
  isRetrans = false;
  isAckDelayed = false;
  lastEndSeq = 0;

  /** Before the next ACK. */
  reset(): void {
    this.flag = 0;
    this.rexmit = REXMIT_NONE;
    this.firstSackt = 0;
    this.priorDelivered = 0;
    this.priorMstamp = 0;
    this.intervalUs = 0;
    this.rttUs = -1;
    this.isAppLimited = false;
    this.isRetrans = false;
    this.isAckDelayed = false;
  }
}
