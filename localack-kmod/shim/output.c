// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Packets of the engine's: into socket buffers while it is asked, and out by the route, or
 * by the port of a bridge, when it is not. */
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <net/dst.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/ipv6.h>
#include <net/route.h>

#include "shim.h"

/* Longer packets are not laid out in one piece. */
#define ONE_PIECE 2048
/* Pages in one piece of a longer packet, as a power of two. */
#define PIECE_ORDER 3

/* What a packet of a bridged flow waits with until it is sent. All zeroes for one that is routed. */
static struct localack_lead *lead_of(struct sk_buff *skb)
{
	BUILD_BUG_ON(sizeof(struct localack_lead) > sizeof(skb->cb));
	return (struct localack_lead *)skb->cb;
}

static struct sk_buff *allocate(const struct localack_packet_info *info)
{
	struct sk_buff *skb;
	u32 front = info->length <= ONE_PIECE ? info->length : info->headers;
	u32 rest = info->length - front;
	int err;

	skb = alloc_skb_with_frags(LL_MAX_HEADER + front, rest, PIECE_ORDER, &err, GFP_ATOMIC | __GFP_NOWARN);
	if (!skb)
		return NULL;
	skb_reserve(skb, LL_MAX_HEADER);
	skb_put(skb, front);
	skb->data_len = rest;
	skb->len += rest;
	return skb;
}

/* Says that the packet is to be cut. */
static bool set_cut(struct sk_buff *skb, const struct localack_packet_info *info, bool six)
{
	struct skb_shared_info *shared = skb_shinfo(skb);
	u32 ip = six ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);

	if (!skb_partial_csum_set(skb, ip, offsetof(struct tcphdr, check)))
		return false;
	shared->gso_size = info->gso_size;
	shared->gso_type = six ? SKB_GSO_TCPV6 : SKB_GSO_TCPV4;
	shared->gso_segs = DIV_ROUND_UP(info->length - info->headers, info->gso_size);
	return true;
}

bool localack_transmit(void *context, struct localack_packet *packet)
{
	struct localack *la = context;
	const struct localack_lead *lead;
	struct localack_packet_info info;
	struct localack_part part;
	struct sk_buff *skb;
	u32 at = 0;
	bool six;

	localack_packet_info(packet, &info);
	if (info.headers < sizeof(struct iphdr) + sizeof(struct tcphdr) || info.length < info.headers)
		return true;
	skb = allocate(&info);
	if (!skb) {
		atomic64_inc(&la->tally.no_memory);
		return false;
	}
	while (localack_packet_part(packet, &part)) {
		if (skb_store_bits(skb, at, part.data, part.length))
			goto drop;
		at += part.length;
	}
	if (at != info.length)
		goto drop;
	six = skb->data[0] >> 4 == 6;
	skb_reset_network_header(skb);
	skb_set_transport_header(skb, six ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	skb->protocol = six ? htons(ETH_P_IPV6) : htons(ETH_P_IP);
	skb->ip_summed = CHECKSUM_NONE;
	if (info.gso_size && !set_cut(skb, &info, six))
		goto drop;
	lead = localack_lead_of(la, info.flow, info.side);
	if (lead)
		*lead_of(skb) = *lead;
	__skb_queue_tail(&la->outgoing, skb);
	return true;
drop:
	/* It is repeated, as if it had been lost on its way. */
	kfree_skb(skb);
	return true;
}

static struct dst_entry *route4(struct net *net, struct sk_buff *skb)
{
	const struct iphdr *ip = ip_hdr(skb);
	struct flowi4 flow = {
		.daddr = ip->daddr,
		.saddr = ip->saddr,
		.flowi4_tos = RT_TOS(ip->tos),
		.flowi4_proto = IPPROTO_TCP,
		/* It speaks for somebody else. */
		.flowi4_flags = FLOWI_FLAG_ANYSRC,
	};
	struct rtable *route = ip_route_output_key(net, &flow);

	if (IS_ERR(route))
		return NULL;
	skb->priority = rt_tos2priority(ip->tos);
	memset(IPCB(skb), 0, sizeof(*IPCB(skb)));
	return &route->dst;
}

static struct dst_entry *route6(struct net *net, struct sk_buff *skb)
{
	const struct ipv6hdr *ip = ipv6_hdr(skb);
	struct flowi6 flow = {
		.daddr = ip->daddr,
		.saddr = ip->saddr,
		.flowlabel = ip6_flowinfo(ip),
		.flowi6_proto = IPPROTO_TCP,
		.flowi6_flags = FLOWI_FLAG_ANYSRC,
	};
	struct dst_entry *dst = ip6_route_output(net, NULL, &flow);

	if (dst->error) {
		dst_release(dst);
		return NULL;
	}
	memset(IP6CB(skb), 0, sizeof(*IP6CB(skb)));
	return dst;
}

/* As a bridge does with what it forwards. */
static void send_bridged(struct localack *la, struct sk_buff *skb)
{
	const struct localack_lead lead = *lead_of(skb);
	struct net_device *dev;
	__be16 protocol = skb->protocol;

	rcu_read_lock();
	dev = dev_get_by_index_rcu(la->net, lead.ifindex);
	if (dev) {
		memset(skb->cb, 0, sizeof(skb->cb));
		memcpy(skb_push(skb, ETH_HLEN), lead.addresses, sizeof(lead.addresses));
		skb_reset_mac_header(skb);
		skb_reset_mac_len(skb);
		eth_hdr(skb)->h_proto = protocol;
		if (lead.vlan_protocol)
			__vlan_hwaccel_put_tag(skb, lead.vlan_protocol, lead.vlan);
		skb->dev = dev;
		atomic64_inc(&la->tally.sent);
		dev_queue_xmit(skb);
	} else {
		atomic64_inc(&la->tally.no_route);
		kfree_skb(skb);
	}
	rcu_read_unlock();
}

static void send_one(struct localack *la, struct sk_buff *skb)
{
	struct dst_entry *dst;

	if (lead_of(skb)->ifindex) {
		send_bridged(la, skb);
		return;
	}
	dst = skb->protocol == htons(ETH_P_IPV6) ? route6(la->net, skb) : route4(la->net, skb);
	if (!dst || dst->dev->flags & IFF_LOOPBACK) {
		if (dst)
			dst_release(dst);
		atomic64_inc(&la->tally.no_route);
		kfree_skb(skb);
		return;
	}
	skb_dst_drop(skb);
	skb_dst_set(skb, dst);
	skb->dev = dst->dev;
	atomic64_inc(&la->tally.sent);
	/* The hooks of what leaves, the neighbour's address, and the queue of the device, as of a forwarded packet. */
	dst_output(la->net, NULL, skb);
}

void localack_send(struct localack *la, struct sk_buff_head *list)
{
	struct sk_buff *skb;

	while ((skb = __skb_dequeue(list)))
		send_one(la, skb);
}
