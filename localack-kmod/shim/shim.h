/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the parts of the module share. */
#ifndef LOCALACK_SHIM_H
#define LOCALACK_SHIM_H

#include <linux/atomic.h>
#include <linux/hrtimer.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>

#include "localack.h"

/* Octets of the longest packet that an engine looks at. */
#define LOCALACK_LONGEST 65535

/* What the module counts beside its engine. */
struct localack_tally {
	atomic64_t copied;	/* packets that had to be copied to be looked at */
	atomic64_t odd;		/* packets that no engine can look at; they passed */
	atomic64_t no_memory;	/* packets that could not be made or edited for want of memory */
	atomic64_t no_route;	/* packets of the engine's that had no way to go */
	atomic64_t sent;	/* packets of the engine's that were sent */
	atomic64_t timers;	/* times that the timer went off */
	atomic64_t waited;	/* times that a processor had to wait for the engine's lock */
	u64 locked;		/* times that it was taken for packets and timers. With the lock */
};

/* How frames of a bridged flow leave in one direction: as the last one that came by. */
struct localack_lead {
	int ifindex;	/* 0 if none has come by */
	u16 vlan;
	__be16 vlan_protocol;	/* 0 without a tag */
	u8 addresses[2 * ETH_ALEN];
};

/* What is known of the flow in one slot; nothing of one that is routed. */
struct localack_leads {
	u64 flow;
	/* By the side that they leave by. */
	struct localack_lead to[2];
};

/* The engine, and what belongs to it. */
struct localack {
	/* For all calls of the engine, and for what stands here down to `held`. */
	spinlock_t lock;
	struct localack_engine *engine;
	/* Packets that the engine has made in the call under way. Sent once the lock is given back. */
	struct sk_buff_head outgoing;
	/* Some processor is sending them. One at a time, so that they leave in their order. */
	bool sending;
	/* Those of bridged flows, by their slots. */
	struct localack_leads *leads;
	/* When the timer goes off; 0 if it does not. */
	u64 armed_us;
	/* Whether octets in custody keep the module from being unloaded. */
	bool held;
	/* Packets go no more into the engine. */
	bool closed;

	struct hrtimer timer;
	struct net *net;
	void *memory;
	struct localack_settings settings;
	struct localack_names names;
	/* For packets that cannot be looked at where they lie; each processor has one. */
	u8 * __percpu *scratch;
	struct localack_tally tally;
};

extern struct localack localack;

/* Takes the lock for packets and timers, with bottom halves off, and counts what that costs. */
static inline void localack_lock(struct localack *la)
{
	if (!spin_trylock(&la->lock)) {
		atomic64_inc(&la->tally.waited);
		spin_lock(&la->lock);
	}
	la->tally.locked++;
}

/* main.c */
u64 localack_now_us(void);
/* Lets the engine do what is due, and sees to the timer and to the module's being held. With the lock. */
void localack_go_on(struct localack *la, u64 now_us);
/* Takes what is to be sent, if nobody else is sending; false if there is nothing. With the lock. */
bool localack_take_outgoing(struct localack *la, struct sk_buff_head *list);
/* Sends what was taken, and what has come meanwhile. Without the lock, with bottom halves off. */
void localack_send_taken(struct localack *la, struct sk_buff_head *list);
/* Asks the whole engine what it owes, in steps, without the lock. */
void localack_ask_custody(struct localack *la, struct localack_custody *custody);
/* Begins to hand every flow back. Without the lock. */
void localack_begin_drain(struct localack *la);
/* Resets the flows that owe something, without the lock. */
void localack_reset_all(struct localack *la, struct localack_lost *lost);
/* Whether the name of a device is one of a side's. */
bool localack_is_on(const struct net_device *dev, u8 side);

/* input.c */
int localack_hook(struct net *net);
void localack_unhook(struct net *net);

/* The lead of a flow in one direction; NULL if it is routed. With the lock. */
const struct localack_lead *localack_lead_of(struct localack *la, u64 flow, u8 side);

/* output.c */
bool localack_transmit(void *context, struct localack_packet *packet);
/* Sends packets. Without the lock, with bottom halves off. */
void localack_send(struct localack *la, struct sk_buff_head *list);

/* control.c */
int localack_control_start(void);
void localack_control_stop(void);

#endif
