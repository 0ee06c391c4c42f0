/* A TCP local-acknowledgement engine: packets in, packets out, time passed in.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Made by cbindgen of localack-kmod/ffi/src; do not edit.
 *
 * Lend an engine memory (localack_memory_size, localack_engine_new). For each IP packet call
 * localack_ingest, do what the verdict says, and call localack_poll until it has no more to do; and
 * again when localack_next_due says. Packets that the engine makes go to the callback `transmit`.
 * Calls with one engine must not overlap; callbacks must not use the engine that calls them. Nothing
 * here allocates, blocks, reads a clock or uses floating point. */

#ifndef LOCALACK_H
#define LOCALACK_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif

/**
 * The version of this interface. It changes when a program built for another one would not work.
 */
#define LOCALACK_ABI 2

/**
 * The side of the local hosts.
 */
#define LOCALACK_INNER 0

/**
 * The side of the long or lossy path.
 */
#define LOCALACK_OUTER 1

/**
 * Data that arrives on the inner side.
 */
#define LOCALACK_INNER_TO_OUTER 0

/**
 * Data that arrives on the outer side.
 */
#define LOCALACK_OUTER_TO_INNER 1

/**
 * Data and acknowledgements pass as they are.
 */
#define LOCALACK_BYPASS 0

/**
 * Copies of the data answer losses behind the engine; nothing is acknowledged early.
 */
#define LOCALACK_SNOOP 1

/**
 * Data is acknowledged at once, kept, and delivered.
 */
#define LOCALACK_LOCAL_ACK 2

/**
 * The packet goes on out of the other side, bit for bit as it was.
 */
#define LOCALACK_PASS 0

/**
 * The packet goes on out of the other side; its headers were edited in place, its length is the same.
 */
#define LOCALACK_FORWARD 1

/**
 * The packet does not go on: its content is held, or it has done its work.
 */
#define LOCALACK_ABSORB 2

/**
 * The packet does not go on: nobody would accept it, or accepting it would do harm.
 */
#define LOCALACK_DROP 3

/**
 * Nothing is known of the TCP checksum: the engine verifies it.
 */
#define LOCALACK_CHECKSUM_VERIFY 0

/**
 * The checksum was verified, by hardware for example.
 */
#define LOCALACK_CHECKSUM_VERIFIED 1

/**
 * The field holds the sum of the pseudo-header only; whoever sends the packet completes it.
 */
#define LOCALACK_CHECKSUM_PARTIAL 2

/**
 * Nothing to do before the next deadline.
 */
#define LOCALACK_IDLE 0

/**
 * The budget is spent and there is more to do: call again.
 */
#define LOCALACK_MORE 1

/**
 * A packet could not be taken: call again when there is room.
 */
#define LOCALACK_BLOCKED 2

/**
 * Additive increase, multiplicative decrease (RFC 5681).
 */
#define LOCALACK_RENO 0

/**
 * CUBIC (RFC 9438), the default.
 */
#define LOCALACK_CUBIC 1

/**
 * BBR, version 3.
 */
#define LOCALACK_BBR 2

/**
 * The operator vouches for `rate` octets of IP packets per second, which all such flows share.
 */
#define LOCALACK_PROVISIONED 3

/**
 * It was done.
 */
#define LOCALACK_OK 0

/**
 * The settings are out of range, or of another version of this interface.
 */
#define LOCALACK_BAD_SETTINGS -1

/**
 * The memory is too short, or does not begin at a multiple of 64.
 */
#define LOCALACK_BAD_MEMORY -2

/**
 * No flow has this id any more.
 */
#define LOCALACK_NO_FLOW -3

/**
 * A number in an argument means nothing.
 */
#define LOCALACK_BAD_ARGUMENT -4

/**
 * A packet could not be taken: call again.
 */
#define LOCALACK_FULL -5

/**
 * Most rules of an engine.
 */
#define LOCALACK_MOST_RULES 256

/**
 * Arrangements of an engine, with the one that is none.
 */
#define LOCALACK_ARRANGEMENTS 16

/**
 * Whichever side opened the connection.
 */
#define LOCALACK_FROM_EITHER 0

/**
 * The inner side opened it.
 */
#define LOCALACK_FROM_INNER 1

/**
 * The outer side opened it.
 */
#define LOCALACK_FROM_OUTER 2

/**
 * A handshake was completed and the flow has a slot.
 */
#define LOCALACK_ADOPTED 0

/**
 * A connection is left alone; `side` and `reason` (as of `LOCALACK_PASS`).
 */
#define LOCALACK_REFUSED 1

/**
 * Early acknowledgement begins in the direction `side`.
 */
#define LOCALACK_CUSTODY_BEGUN 2

/**
 * The direction `side` acknowledges nothing early any more; `reason` is the cause.
 */
#define LOCALACK_DEMOTED 3

/**
 * The direction `side` has reached the service `reason`.
 */
#define LOCALACK_SERVICE_CHANGED 4

/**
 * `octets` have been in custody for long after a FIN, in the direction `side`.
 */
#define LOCALACK_SLOW_CLOSE 5

/**
 * The end at `side` has reset the connection; `octets` can no longer be delivered.
 */
#define LOCALACK_RESET 6

/**
 * A receiver was silent too long or somebody wants no more of it; both ends are reset and `octets` of the
 * direction `side` were lost.
 */
#define LOCALACK_GIVEN_UP 7

/**
 * The flow has no state any more.
 */
#define LOCALACK_CLOSED 8

/**
 * News of a later version.
 */
#define LOCALACK_OTHER_NEWS 255

/**
 * An engine over lent memory.
 */
struct localack_engine;

/**
 * A packet that the engine wants sent, for the time of the callback that gets it.
 */
struct localack_packet;

/**
 * How a connection is served.
 */
struct localack_serving {
  /**
   * Whether the connection is followed at all: 0 leaves it alone for ever.
   */
  uint8_t adopt;
  /**
   * The service for data that arrives on the inner side.
   */
  uint8_t inner_to_outer;
  /**
   * The service for data that arrives on the outer side.
   */
  uint8_t outer_to_inner;
  /**
   * The controller toward receivers on the outer side.
   */
  uint8_t controller;
  /**
   * The controller toward receivers on the inner side.
   */
  uint8_t inward_controller;
  /**
   * Whether data may be acknowledged early as soon as the handshake is complete, rather than once the
   * receiver has shown that it is there.
   */
  uint8_t after_handshake;
  /**
   * Whether a flow may begin with half of what an earlier one to the same network could use (RFC 9959).
   */
  uint8_t careful_resume;
  /**
   * Whether segments may be sent with DF = 1 for a sender that allows fragmentation.
   */
  uint8_t allow_dont_fragment;
  /**
   * 1: CUBIC and Reno send what an acknowledgement allows at once, instead of spacing it out.
   */
  uint8_t in_bursts;
  /**
   * 0.
   */
  uint8_t reserved;
  /**
   * The arrangement of what arrives on the inner and on the outer side (`localack_set_arrangement`); 0 for none.
   */
  uint8_t arrangement[2];
  /**
   * Octets per second of the controller `LOCALACK_PROVISIONED`, outward and inward; 0 otherwise.
   */
  uint32_t rate[2];
  /**
   * Which rate that is, 0 to 15: connections of the same number share it.
   */
  uint8_t share[2];
  /**
   * 0.
   */
  uint16_t reserved2;
  /**
   * Octets per second that a connection may use even if its part of the rate is less.
   */
  uint32_t floor[2];
  /**
   * Octets per second that a connection may use at most; 0 for all of the rate.
   */
  uint32_t ceiling[2];
  /**
   * Octets that one direction may hold and offer as window, at most 2^29; 0 for the usual MiB.
   */
  uint32_t buffer_limit;
  /**
   * Microseconds that an acknowledgement may wait for a second segment, at most 10000.
   */
  uint32_t ack_delay_us;
};

/**
 * Settings of an engine. Get them from `localack_settings_default`, and change some.
 */
struct localack_settings {
  /**
   * `LOCALACK_ABI`.
   */
  uint32_t abi;
  /**
   * Connections at a time.
   */
  uint32_t flows;
  /**
   * Octets that may be held for all of them together.
   */
  uint64_t buffer;
  /**
   * Secret key of the table of flows, from a random source.
   */
  uint64_t hash_key[2];
  /**
   * Largest IP packet that may leave by each side, inner first.
   */
  uint16_t mtu[2];
  /**
   * Most octets of payload in one packet of the engine's; more than a segment have to be cut
   * (`gso_size`). 0 for one segment.
   */
  uint16_t super_segment;
  /**
   * 0.
   */
  uint16_t reserved;
  /**
   * Networks that are remembered for later flows; 0 for none.
   */
  uint32_t paths;
  /**
   * Milliseconds that a drain waits for the offered window to match the receiver's; 0 for the usual 10000.
   */
  uint32_t drain_ms;
  /**
   * Milliseconds that a silent receiver is tried, at least 100000; 0 for the usual 924000.
   */
  uint32_t give_up_ms;
  /**
   * Octets that may be in custody however slowly they drain; 0 for the usual 65536.
   */
  uint32_t debt_floor;
  /**
   * Milliseconds that a direction waits after it was handed back before it is served again; 0 for the usual
   * 60000.
   */
  uint32_t hold_ms;
  /**
   * 0.
   */
  uint32_t reserved2;
  /**
   * How connections are served that no rule matches.
   */
  struct localack_serving serving;
  /**
   * The present, in microseconds of the clock that the other calls go by.
   */
  uint64_t now_us;
};

/**
 * News about a connection.
 */
struct localack_news {
  /**
   * `LOCALACK_ADOPTED` and so on.
   */
  uint8_t kind;
  /**
   * The side it came from, or the direction that it is about.
   */
  uint8_t side;
  /**
   * The number of the reason or cause, or the service now in force.
   */
  uint8_t reason;
  /**
   * 0.
   */
  uint8_t reserved;
  /**
   * Octets that were lost, or are still in custody.
   */
  uint32_t octets;
  /**
   * The flow; 0 if it was refused.
   */
  uint64_t flow;
};

/**
 * What an engine calls. It must not be used from within.
 */
struct localack_callbacks {
  /**
   * Comes back with each call.
   */
  void *context;
  /**
   * Takes one packet; false if it cannot be taken now, and nothing is lost: `localack_poll` offers it again.
   * The packet is there for the time of the call.
   */
  bool (*transmit)(void *context, struct localack_packet *packet);
  /**
   * Learns rare news; may be null.
   */
  void (*news)(void *context, uint64_t now_us, const struct localack_news *news);
};

/**
 * What becomes of a packet.
 */
struct localack_verdict {
  /**
   * `LOCALACK_PASS`, `_FORWARD`, `_ABSORB` or `_DROP`.
   */
  uint8_t kind;
  /**
   * The number of the reason, for all but `LOCALACK_FORWARD`.
   */
  uint8_t reason;
  /**
   * Octets of headers at the front of the packet, the only ones that `LOCALACK_FORWARD` may have changed.
   */
  uint16_t headers;
};

/**
 * The circumstances of a packet.
 */
struct localack_meta {
  /**
   * What is known of its TCP checksum.
   */
  uint8_t checksum;
  /**
   * 0.
   */
  uint8_t reserved;
  /**
   * Octets of payload in each segment if it is a super-segment, else 0.
   */
  uint16_t gso_size;
  /**
   * A VLAN, encapsulation or device of the caller's, part of what names a flow; comes back with packets of
   * the flow.
   */
  uint32_t link;
};

/**
 * Which connections a rule is for, and how they are served. The first rule that matches counts.
 */
struct localack_rule {
  /**
   * 4 or 6; 0 for both, and then the addresses are not looked at.
   */
  uint8_t version;
  /**
   * Bits of `inner` that must match.
   */
  uint8_t inner_bits;
  /**
   * Bits of `outer` that must match.
   */
  uint8_t outer_bits;
  /**
   * The side that opened the connection: `LOCALACK_FROM_EITHER` and so on.
   */
  uint8_t from;
  /**
   * Lowest and highest port of the inner end.
   */
  uint16_t inner_ports[2];
  /**
   * Lowest and highest port of the outer end.
   */
  uint16_t outer_ports[2];
  /**
   * Address of the inner end, in network order; an IPv4 address takes the first four octets.
   */
  uint8_t inner[16];
  /**
   * Address of the outer end.
   */
  uint8_t outer[16];
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Differentiated-services code points of the SYN, the lowest bit for 0; 0 for all of them.
   */
  uint64_t dscp;
  /**
   * How they are served.
   */
  struct localack_serving serving;
};

/**
 * What is done with one direction of connections beside its service. All zeroes is nothing.
 */
struct localack_arrangement {
  /**
   * Octets of IP packets per second that the data of one connection may take; 0 for no limit.
   */
  uint32_t rate_limit;
  /**
   * Microseconds that acknowledgements which tell nothing but a higher number keep between them, at most
   * 500000; 0 lets all of them pass.
   */
  uint32_t ack_interval_us;
  /**
   * The largest segment that a SYN may announce, in octets; 0 leaves it alone.
   */
  uint16_t mss_clamp;
  /**
   * 0.
   */
  uint16_t reserved;
};

/**
 * What all flows have together.
 */
struct localack_custody {
  /**
   * Octets acknowledged to their senders that their receivers have not acknowledged.
   */
  uint64_t debt;
  /**
   * Octets of blocks in use.
   */
  uint64_t held;
  /**
   * Flows in any state.
   */
  uint32_t flows;
  /**
   * Flows that owe something.
   */
  uint32_t owing;
  /**
   * Flows that are served or are being handed back.
   */
  uint32_t served;
  /**
   * 0.
   */
  uint32_t reserved;
};

/**
 * A look at one direction of a flow.
 */
struct localack_direction_state {
  /**
   * The service that is asked for.
   */
  uint8_t service;
  /**
   * What it does: 0 bypass, 1 store and forward, 2 local acknowledgement, 3 draining, 4 snoop.
   */
  uint8_t mode;
  /**
   * The controller.
   */
  uint8_t controller;
  /**
   * 0.
   */
  uint8_t reserved;
  /**
   * Octets acknowledged to the sender and not by the receiver.
   */
  uint32_t debt;
  /**
   * Octets of blocks held.
   */
  uint32_t custody;
  /**
   * Octets per second that the receiver has acknowledged of late.
   */
  uint32_t rate;
  /**
   * Smoothed and shortest round-trip time to the receiver, in microseconds; 0 if unknown.
   */
  uint32_t srtt_us;
  /**
   * See `srtt_us`.
   */
  uint32_t min_rtt_us;
  /**
   * Congestion window toward the receiver, and octets on their way to it.
   */
  uint32_t cwnd;
  /**
   * See `cwnd`.
   */
  uint32_t in_flight;
  /**
   * Octets found lost that wait to be sent again.
   */
  uint32_t lost;
  /**
   * Largest segment sent to the receiver, in octets of payload.
   */
  uint16_t mss;
  /**
   * 0.
   */
  uint16_t reserved2;
};

/**
 * A look at a flow.
 */
struct localack_flow_view {
  /**
   * Its id.
   */
  uint64_t id;
  /**
   * 0 SYN seen, 1 SYN-ACK seen, 2 open, 3 being reset, 4 was reset.
   */
  uint8_t state;
  /**
   * The side that opened the connection.
   */
  uint8_t client;
  /**
   * IP version of both ends.
   */
  uint8_t version;
  /**
   * 0.
   */
  uint8_t reserved;
  /**
   * Caller's link.
   */
  uint32_t link;
  /**
   * Addresses in network order, inner first; an IPv4 address takes the first four octets.
   */
  uint8_t addresses[2][16];
  /**
   * Ports, inner first.
   */
  uint16_t ports[2];
  /**
   * 0.
   */
  uint32_t reserved2;
  /**
   * Data from the inner side, then from the outer side.
   */
  struct localack_direction_state directions[2];
};

/**
 * What was lost with flows that were reset.
 */
struct localack_lost {
  /**
   * Octets that were acknowledged and not delivered.
   */
  uint64_t octets;
  /**
   * Flows that were reset.
   */
  uint64_t flows;
};

/**
 * A counter.
 */
struct localack_counter_view {
  /**
   * What it counts, as two names that stay the same. They are not terminated: see their lengths.
   */
  const char *group;
  /**
   * See `group`.
   */
  const char *name;
  /**
   * Octets of `group`.
   */
  size_t group_length;
  /**
   * Octets of `name`.
   */
  size_t name_length;
  /**
   * The count.
   */
  uint64_t count;
};

/**
 * Names that the control protocol tells.
 */
struct localack_names {
  /**
   * The device on the inner side.
   */
  const char *inner;
  /**
   * The device on the outer side.
   */
  const char *outer;
};

/**
 * A packet that the engine wants sent.
 */
struct localack_packet_info {
  /**
   * The side to send it out of.
   */
  uint8_t side;
  /**
   * What it is for (`localack_packet_kind_name`).
   */
  uint8_t kind;
  /**
   * Octets of payload in each segment if it is to be cut, else 0. Then its TCP checksum is that of the
   * pseudo-header only; without it the checksum is complete.
   */
  uint16_t gso_size;
  /**
   * Octets of its IP and TCP headers, which are the first part of it.
   */
  uint32_t headers;
  /**
   * Octets of all of it.
   */
  uint32_t length;
  /**
   * The link by which packets of its direction last arrived.
   */
  uint32_t link;
  /**
   * The flow it belongs to.
   */
  uint64_t flow;
};

/**
 * A piece of a packet.
 */
struct localack_part {
  /**
   * Its octets, for the time of the callback.
   */
  const uint8_t *data;
  /**
   * How many.
   */
  size_t length;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the interface that the library was built with: `LOCALACK_ABI` of its header.
 */
uint32_t localack_abi_version(void);

/**
 * Fills in usual settings: 1024 flows with 16 MiB together, and local acknowledgement of data from the inner
 * side. The hash key must still be chosen at random, and `mtu` set.
 */
void localack_settings_default(struct localack_settings *settings);

/**
 * Octets of memory that an engine of these settings needs; 0 if they make no sense.
 */
size_t localack_memory_size(const struct localack_settings *settings);

/**
 * Makes an engine in `memory`, which begins at a multiple of 64 and has `length` octets, at least
 * `localack_memory_size`. It is lent from now on, until the engine is used no more; there is nothing to free.
 *
 * Returns `LOCALACK_OK`, `LOCALACK_BAD_SETTINGS` or `LOCALACK_BAD_MEMORY`, and writes to `engine` only when
 * it is the first.
 */
int32_t localack_engine_new(const struct localack_settings *settings,
                            const struct localack_callbacks *callbacks,
                            uint8_t *memory,
                            size_t length,
                            struct localack_engine **engine);

/**
 * Decides about one IP packet of `length` octets that arrived on `side` at `now_us`, in microseconds of a clock
 * that does not go back. Packets that the engine sends meanwhile go to the callback, and leave before it.
 * After it, call `localack_poll` until it has no more to do.
 */
struct localack_verdict localack_ingest(struct localack_engine *engine,
                                        uint8_t side,
                                        uint64_t now_us,
                                        uint8_t *packet,
                                        size_t length,
                                        const struct localack_meta *meta);

/**
 * Sends what timers and opened windows allow, at most `budget` packets. Returns `LOCALACK_IDLE`,
 * `LOCALACK_MORE` or `LOCALACK_BLOCKED`.
 */
uint8_t localack_poll(struct localack_engine *engine, uint64_t now_us, size_t budget);

/**
 * When `localack_poll` must be called at the latest; false if nothing waits for time, and then `at_us` stays
 * as it is.
 */
bool localack_next_due(const struct localack_engine *engine,
                       uint64_t *at_us);

/**
 * Asks for another service of one direction of a flow. Returns `LOCALACK_OK`, `LOCALACK_NO_FLOW` or
 * `LOCALACK_BAD_ARGUMENT`.
 */
int32_t localack_set_service(struct localack_engine *engine,
                             uint64_t flow,
                             uint8_t direction,
                             uint8_t service,
                             uint64_t now_us);

/**
 * Lets these rules hold for new connections instead of those before. Returns `LOCALACK_OK`, or
 * `LOCALACK_BAD_ARGUMENT` if there are more than `LOCALACK_MOST_RULES` or one means nothing; then all stay.
 */
int32_t localack_set_rules(struct localack_engine *engine,
                           const struct localack_rule *rules,
                           size_t count);

/**
 * Lets new connections that no rule matches be served so. Returns `LOCALACK_OK` or `LOCALACK_BAD_ARGUMENT`.
 */
int32_t localack_set_serving(struct localack_engine *engine,
                             const struct localack_serving *serving);

/**
 * Lets an arrangement, 1 to `LOCALACK_ARRANGEMENTS` - 1, mean something else from the next packet on, for every
 * connection that has it. Returns `LOCALACK_OK` or `LOCALACK_BAD_ARGUMENT`.
 */
int32_t localack_set_arrangement(struct localack_engine *engine,
                                 uint8_t number,
                                 const struct localack_arrangement *arrangement,
                                 uint64_t now_us);

/**
 * Hands every flow back to its ends and adopts no new ones, for good: nothing is acknowledged early any more,
 * and once everything in custody is delivered all packets pass. A step per flow slot ever used.
 */
void localack_drain(struct localack_engine *engine,
                    uint64_t now_us);

/**
 * Flow slots that were ever in use: looks at flows go from slot 0 to here.
 */
uint32_t localack_slots_used(const struct localack_engine *engine);

/**
 * Blocks of memory that hold octets: zero only if nothing is in custody. Takes no time.
 */
uint32_t localack_blocks_used(const struct localack_engine *engine);

/**
 * Adds what `count` slots from `first` on have to `custody`, so that many can be looked at in steps; `held` is
 * that of all.
 */
void localack_custody(const struct localack_engine *engine,
                      uint32_t first,
                      uint32_t count,
                      struct localack_custody *custody);

/**
 * Finds the flow that a packet of `length` octets belongs to, which arrived on `side` by `link`; false if there is
 * none, and then `flow` stays as it is.
 */
bool localack_find_flow(struct localack_engine *engine,
                        uint8_t side,
                        uint32_t link,
                        const uint8_t *packet,
                        size_t length,
                        uint64_t *flow);

/**
 * Looks at the flow of one slot; false if there is none, and then `flow` stays as it is.
 */
bool localack_flow(const struct localack_engine *engine,
                   uint32_t slot,
                   struct localack_flow_view *flow);

/**
 * Resets the flows of `count` slots from `first` on that owe something, at both ends, and adds what is lost
 * with them to `lost`. Returns `LOCALACK_OK`, or `LOCALACK_FULL` if a packet could not be taken: then the same
 * slots again, later.
 */
int32_t localack_give_up(struct localack_engine *engine,
                         uint32_t first,
                         uint32_t count,
                         uint64_t now_us,
                         struct localack_lost *lost);

/**
 * The counter number `index`; false beyond the last one, and then `counter` stays as it is.
 */
bool localack_counter(const struct localack_engine *engine,
                      size_t index,
                      struct localack_counter_view *counter);

/**
 * Answers a line of the control protocol, which `localack-tun/docs/control.md` describes: `status`, `flows` (in
 * the order of their slots, 256 at most), `flow`, `stats` and `drain`; `rules` and `set-rules`, which policies are
 * made into; and `reset`, which resets the flows that owe something. Returns the octets of the answer with the end of its line; 0 if it does not fit.
 *
 * Takes a step per flow slot ever used.
 */
size_t localack_control(struct localack_engine *engine,
                        uint64_t now_us,
                        const struct localack_names *names,
                        const uint8_t *line,
                        size_t length,
                        uint8_t *answer,
                        size_t room);

/**
 * What is known of a packet that a callback has got.
 */
void localack_packet_info(const struct localack_packet *packet, struct localack_packet_info *info);

/**
 * The next part of a packet that a callback has got: first its headers, then its payload, piece by piece. False
 * when there is none, and then `part` stays as it is.
 */
bool localack_packet_part(struct localack_packet *packet,
                          struct localack_part *part);

/**
 * A name for what a packet is for, in lower case with hyphens; writes its length. It is not terminated, and
 * null for a number that means nothing.
 */
const char *localack_packet_kind_name(uint8_t kind,
                                      size_t *length);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LOCALACK_H */
