// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Packets that the machine forwards between the two sides, on their way past the engine. */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/percpu.h>

#include "shim.h"

/* Whether an engine may want to see it: TCP, and errors about it. What has extension headers passes. */
static bool is_wanted(const struct sk_buff *skb, u8 pf)
{
	u8 protocol = pf == NFPROTO_IPV4 ? ip_hdr(skb)->protocol : ipv6_hdr(skb)->nexthdr;

	return protocol == IPPROTO_TCP || protocol == (pf == NFPROTO_IPV4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
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

static unsigned int ingest(struct localack *la, struct sk_buff *skb, u8 side)
{
	struct localack_meta meta = {};
	struct localack_verdict verdict;
	struct sk_buff_head outgoing;
	u8 *packet = skb->data;
	bool copied, closed;
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
	spin_lock(&la->lock);
	closed = la->closed;
	if (!closed) {
		now_us = localack_now_us();
		verdict = localack_ingest(la->engine, side, now_us, packet, skb->len, &meta);
		localack_go_on(la, now_us);
	}
	localack_take_outgoing(la, &outgoing);
	spin_unlock(&la->lock);
	localack_send(la, &outgoing);
	if (closed) {
		local_bh_enable();
		return NF_ACCEPT;
	}
	if (verdict.kind == LOCALACK_FORWARD) {
		/* Its sum over all octets, if hardware gave one, is not that of the edited packet. */
		if (skb->ip_summed == CHECKSUM_COMPLETE)
			skb->ip_summed = CHECKSUM_NONE;
		if (copied && !put_back(skb, packet, verdict.headers)) {
			atomic64_inc(&la->tally.no_memory);
			verdict.kind = LOCALACK_DROP;
		}
	}
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

static unsigned int on_forward(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	u8 side;

	if (localack_is_on(state->in, LOCALACK_INNER) && localack_is_on(state->out, LOCALACK_OUTER))
		side = LOCALACK_INNER;
	else if (localack_is_on(state->in, LOCALACK_OUTER) && localack_is_on(state->out, LOCALACK_INNER))
		side = LOCALACK_OUTER;
	else
		return NF_ACCEPT;
	if (!is_wanted(skb, state->pf))
		return NF_ACCEPT;
	return ingest(priv, skb, side);
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
};

int localack_hook(struct net *net)
{
	return nf_register_net_hooks(net, hooks, ARRAY_SIZE(hooks));
}

void localack_unhook(struct net *net)
{
	nf_unregister_net_hooks(net, hooks, ARRAY_SIZE(hooks));
}
