// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Packets that the machine forwards between the two sides, on their way past the engine. */
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter_bridge.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/percpu.h>

#include "shim.h"

/* Set in the link of a flow in a VLAN, as localack-tun does, and that of a provider's tag. */
#define LINK_VLAN (1 << 12)
#define LINK_PROVIDER (1 << 13)

/* Whether an engine may want to see it: TCP, and errors about it. What has extension headers passes. */
static bool is_wanted(const struct sk_buff *skb, bool six)
{
	union {
		struct iphdr four;
		struct ipv6hdr six;
	} room;
	const void *header = skb_header_pointer(skb, 0, six ? sizeof(room.six) : sizeof(room.four), &room);
	u8 protocol;

	if (!header)
		return false;
	protocol = six ? ((const struct ipv6hdr *)header)->nexthdr : ((const struct iphdr *)header)->protocol;
	return protocol == IPPROTO_TCP || protocol == (six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

/* The VLAN that a frame is in, as part of what names a flow. */
static u32 link_of(const struct sk_buff *skb)
{
	if (!skb_vlan_tag_present(skb) || !skb_vlan_tag_get_id(skb))
		return 0;
	return LINK_VLAN | (skb->vlan_proto == htons(ETH_P_8021AD) ? LINK_PROVIDER : 0) | skb_vlan_tag_get_id(skb);
}

const struct localack_lead *localack_lead_of(struct localack *la, u64 flow, u8 side)
{
	const struct localack_leads *leads = &la->leads[(u32)flow];

	return leads->flow == flow && leads->to[side].ifindex ? &leads->to[side] : NULL;
}

/* Remembers what stands before the packets of a flow in one direction. With the lock. */
static void note_lead(struct localack *la, const struct sk_buff *skb, u8 from, u32 link, const u8 *packet,
		      const struct net_device *out)
{
	struct localack_leads *leads;
	struct localack_lead *lead;
	u64 flow;

	if (!localack_find_flow(la->engine, from, link, packet, skb->len, &flow))
		return;
	leads = &la->leads[(u32)flow];
	if (leads->flow != flow) {
		memset(leads, 0, sizeof(*leads));
		leads->flow = flow;
	}
	lead = &leads->to[from == LOCALACK_INNER ? LOCALACK_OUTER : LOCALACK_INNER];
	lead->ifindex = out->ifindex;
	lead->vlan_protocol = skb_vlan_tag_present(skb) ? skb->vlan_proto : 0;
	lead->vlan = skb_vlan_tag_present(skb) ? skb_vlan_tag_get(skb) : 0;
	memcpy(lead->addresses, eth_hdr(skb), sizeof(lead->addresses));
}

/* What is known of the packet; false if no engine can look at it. */
static bool describe(const struct sk_buff *skb, struct localack_meta *meta)
{
	const struct skb_shared_info *shared = skb_shinfo(skb);

	switch (skb->ip_summed) {
	case CHECKSUM_PARTIAL:
		meta->checksum = LOCALACK_CHECKSUM_PARTIAL;
		break;
	case CHECKSUM_UNNECESSARY:
		meta->checksum = LOCALACK_CHECKSUM_VERIFIED;
		break;
	default:
		meta->checksum = LOCALACK_CHECKSUM_VERIFY;
	}
	if (skb->len > LOCALACK_LONGEST)
		return false;
	if (!skb_is_gso(skb))
		return true;
	/* What a tunnel or another protocol is cut by does not concern TCP. */
	if (!(shared->gso_type & (SKB_GSO_TCPV4 | SKB_GSO_TCPV6)) || skb->encapsulation)
		return false;
	meta->gso_size = shared->gso_size;
	return true;
}

/* Puts edited headers back. */
static bool put_back(struct sk_buff *skb, const u8 *packet, u16 headers)
{
	if (headers > skb->len || skb_ensure_writable(skb, headers))
		return false;
	memcpy(skb->data, packet, headers);
	return true;
}

/* `bridge_out` is where a bridge sends the frame. */
static unsigned int ingest(struct localack *la, struct sk_buff *skb, u8 side, const struct net_device *bridge_out)
{
	struct localack_meta meta = { .link = bridge_out ? link_of(skb) : 0 };
	struct localack_verdict verdict = { .kind = LOCALACK_PASS };
	struct sk_buff_head outgoing;
	u8 *packet = skb->data;
	bool copied, taken;
	u64 now_us;

	if (!describe(skb, &meta)) {
		atomic64_inc(&la->tally.odd);
		return NF_ACCEPT;
	}
	local_bh_disable();
	/* A clone shares its octets with somebody who may yet need them: a sender on this machine, a capture. */
	copied = skb_is_nonlinear(skb) || skb_cloned(skb) || skb_shared(skb);
	if (copied) {
		packet = *this_cpu_ptr(la->scratch);
		if (skb_copy_bits(skb, 0, packet, skb->len)) {
			local_bh_enable();
			return NF_ACCEPT;
		}
		atomic64_inc(&la->tally.copied);
	}
	localack_lock(la);
	if (!la->closed) {
		now_us = localack_now_us();
		verdict = localack_ingest(la->engine, side, now_us, packet, skb->len, &meta);
		if (bridge_out)
			note_lead(la, skb, side, meta.link, packet, bridge_out);
		localack_go_on(la, now_us);
	}
	taken = localack_take_outgoing(la, &outgoing);
	spin_unlock(&la->lock);
	if (verdict.kind == LOCALACK_FORWARD) {
		/* Its sum over all octets, if hardware gave one, is not that of the edited packet. */
		if (skb->ip_summed == CHECKSUM_COMPLETE)
			skb->ip_summed = CHECKSUM_NONE;
		if (copied && !put_back(skb, packet, verdict.headers)) {
			atomic64_inc(&la->tally.no_memory);
			verdict.kind = LOCALACK_DROP;
		}
	}
	/* The processor's memory may be used anew from here on. */
	if (taken)
		localack_send_taken(la, &outgoing);
	local_bh_enable();
	switch (verdict.kind) {
	case LOCALACK_PASS:
	case LOCALACK_FORWARD:
		return NF_ACCEPT;
	case LOCALACK_ABSORB:
		/* Nothing was lost. */
		consume_skb(skb);
		return NF_STOLEN;
	default:
		return NF_DROP;
	}
}

/* The side that a packet comes from, if it goes from one to the other; 255 otherwise. */
static u8 side_of(const struct nf_hook_state *state)
{
	if (localack_is_on(state->in, LOCALACK_INNER) && localack_is_on(state->out, LOCALACK_OUTER))
		return LOCALACK_INNER;
	if (localack_is_on(state->in, LOCALACK_OUTER) && localack_is_on(state->out, LOCALACK_INNER))
		return LOCALACK_OUTER;
	return U8_MAX;
}

static unsigned int on_forward(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	u8 side = side_of(state);

	if (side == U8_MAX || !is_wanted(skb, state->pf == NFPROTO_IPV6))
		return NF_ACCEPT;
	return ingest(priv, skb, side, NULL);
}

/* A frame between two ports of a bridge. */
static unsigned int on_bridge(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	u8 side = side_of(state);
	bool six = skb->protocol == htons(ETH_P_IPV6);

	if (side == U8_MAX || (!six && skb->protocol != htons(ETH_P_IP)))
		return NF_ACCEPT;
	/* No connection has a group of hosts at an end. */
	if (is_multicast_ether_addr(eth_hdr(skb)->h_dest) || !is_wanted(skb, six))
		return NF_ACCEPT;
	return ingest(priv, skb, side, state->out);
}

/* Behind all rules of a firewall: what they do not let pass, no engine must answer for. */
static const struct nf_hook_ops hooks[] = {
	{
		.hook = on_forward,
		.priv = &localack,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_FORWARD,
		.priority = NF_IP_PRI_LAST - 10,
	},
	{
		.hook = on_forward,
		.priv = &localack,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_FORWARD,
		.priority = NF_IP6_PRI_LAST - 10,
	},
	{
		.hook = on_bridge,
		.priv = &localack,
		.pf = NFPROTO_BRIDGE,
		.hooknum = NF_BR_FORWARD,
		.priority = NF_BR_PRI_LAST - 10,
	},
};

int localack_hook(struct net *net)
{
	return nf_register_net_hooks(net, hooks, ARRAY_SIZE(hooks));
}

void localack_unhook(struct net *net)
{
	nf_unregister_net_hooks(net, hooks, ARRAY_SIZE(hooks));
}
