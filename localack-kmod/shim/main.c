// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* A TCP local-acknowledgement engine in the kernel: its life, its memory, and its time. */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/percpu.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/vmalloc.h>
#include <net/net_namespace.h>

#include "shim.h"

/* Packets that the engine may send before somebody else has a turn, and how often in a row. */
#define BUDGET 16
#define ROUNDS 4
/* How often who sends looks for more to send. */
#define SEND_ROUNDS 8
/* How soon to try again if there was no memory for a packet. */
#define RETRY_US 1000
/* Flow slots that are looked at without giving the lock back. */
#define STEP 64
/* How often an unload looks whether everything is delivered. */
#define LOOK_MS 20
/* How often packets that reset connections are tried. */
#define RESET_TRIES 100

static char *inner;
module_param(inner, charp, 0444);
MODULE_PARM_DESC(inner, "device on the side of the hosts that wait; a * at the end stands for anything");
static char *outer;
module_param(outer, charp, 0444);
MODULE_PARM_DESC(outer, "device on the side of the long path");
static uint flows = 4096;
module_param(flows, uint, 0444);
MODULE_PARM_DESC(flows, "connections at a time (4096)");
static ulong buffer = 64 << 20;
module_param(buffer, ulong, 0444);
MODULE_PARM_DESC(buffer, "octets in custody, for all connections together (67108864)");
static uint flow_buffer;
module_param(flow_buffer, uint, 0444);
MODULE_PARM_DESC(flow_buffer, "octets that one direction of a connection may hold (1048576)");
static uint super_segment = 32768;
module_param(super_segment, uint, 0444);
MODULE_PARM_DESC(super_segment, "octets of payload in one packet that devices or the kernel cut (32768)");
static uint both;
module_param(both, uint, 0444);
MODULE_PARM_DESC(both, "1: acknowledge data of both directions early, not only of the inner side (0)");
static char *controller = "cubic";
module_param(controller, charp, 0444);
MODULE_PARM_DESC(controller, "reno, cubic or bbr: how much may be on its way over the long path (cubic)");
static uint rate;
module_param(rate, uint, 0444);
MODULE_PARM_DESC(rate, "octets per second of the long path that you vouch for, instead of a controller (0)");
static uint hold_ms;
module_param(hold_ms, uint, 0444);
MODULE_PARM_DESC(hold_ms, "how long a connection that was handed back is left alone (60000)");
static uint unload_ms = 10000;
module_param(unload_ms, uint, 0644);
MODULE_PARM_DESC(unload_ms, "how long an unload waits for what is in custody; then it resets (10000)");

struct localack localack;

u64 localack_now_us(void)
{
	return ktime_to_us(ktime_get());
}

bool localack_is_on(const struct net_device *dev, u8 side)
{
	const char *name = side == LOCALACK_INNER ? inner : outer;
	size_t length = strlen(name);

	if (length && name[length - 1] == '*')
		return !strncmp(dev->name, name, length - 1);
	return !strcmp(dev->name, name);
}

/* An octet in custody is a reason not to be unloaded. Whoever insists (rmmod -f) has everything reset. */
static void hold(struct localack *la)
{
	bool wanted = localack_blocks_used(la->engine) > 0;

	if (wanted && !la->held)
		la->held = try_module_get(THIS_MODULE);
	else if (!wanted && la->held) {
		la->held = false;
		module_put(THIS_MODULE);
	}
}

static void arm(struct localack *la, u64 at_us)
{
	/* A timer that goes off too early finds nothing to do and is set anew. */
	if (la->armed_us && la->armed_us <= at_us)
		return;
	la->armed_us = at_us;
	hrtimer_start(&la->timer, ns_to_ktime(at_us * NSEC_PER_USEC), HRTIMER_MODE_ABS_SOFT);
}

void localack_go_on(struct localack *la, u64 now_us)
{
	u8 state = LOCALACK_MORE;
	u64 at_us;
	int round;

	for (round = 0; round < ROUNDS && state == LOCALACK_MORE; round++)
		state = localack_poll(la->engine, now_us, BUDGET);
	if (state == LOCALACK_MORE)
		arm(la, now_us);
	else if (state == LOCALACK_BLOCKED)
		arm(la, now_us + RETRY_US);
	else if (localack_next_due(la->engine, &at_us))
		arm(la, at_us);
	hold(la);
}

bool localack_take_outgoing(struct localack *la, struct sk_buff_head *list)
{
	if (la->sending || skb_queue_empty(&la->outgoing))
		return false;
	la->sending = true;
	__skb_queue_head_init(list);
	skb_queue_splice_tail_init(&la->outgoing, list);
	return true;
}

void localack_send_taken(struct localack *la, struct sk_buff_head *list)
{
	int round = 0;
	bool more;

	do {
		localack_send(la, list);
		localack_lock(la);
		la->sending = false;
		more = !skb_queue_empty(&la->outgoing);
		/* Others fill the queue as fast as it empties: the timer goes on with it, where it may be interrupted. */
		if (more && ++round >= SEND_ROUNDS) {
			arm(la, localack_now_us());
			more = false;
		}
		more = more && localack_take_outgoing(la, list);
		spin_unlock(&la->lock);
	} while (more);
}

static enum hrtimer_restart on_timer(struct hrtimer *timer)
{
	struct localack *la = container_of(timer, struct localack, timer);
	struct sk_buff_head outgoing;
	bool taken;

	atomic64_inc(&la->tally.timers);
	local_bh_disable();
	localack_lock(la);
	la->armed_us = 0;
	if (!la->closed)
		localack_go_on(la, localack_now_us());
	taken = localack_take_outgoing(la, &outgoing);
	spin_unlock(&la->lock);
	if (taken)
		localack_send_taken(la, &outgoing);
	local_bh_enable();
	return HRTIMER_NORESTART;
}

void localack_ask_custody(struct localack *la, struct localack_custody *custody)
{
	u32 slot = 0, end;

	memset(custody, 0, sizeof(*custody));
	do {
		spin_lock_bh(&la->lock);
		localack_custody(la->engine, slot, STEP, custody);
		end = localack_slots_used(la->engine);
		spin_unlock_bh(&la->lock);
		slot += STEP;
		cond_resched();
	} while (slot < end);
}

/* Lets the engine work, and sends what comes of it. Without the lock. */
static void run(struct localack *la)
{
	struct sk_buff_head outgoing;
	bool taken;

	local_bh_disable();
	spin_lock(&la->lock);
	localack_go_on(la, localack_now_us());
	taken = localack_take_outgoing(la, &outgoing);
	spin_unlock(&la->lock);
	if (taken)
		localack_send_taken(la, &outgoing);
	local_bh_enable();
}

void localack_begin_drain(struct localack *la)
{
	spin_lock_bh(&la->lock);
	localack_drain(la->engine, localack_now_us());
	spin_unlock_bh(&la->lock);
	run(la);
}

void localack_reset_all(struct localack *la, struct localack_lost *lost)
{
	u32 slot = 0, end;
	int tries = 0;

	memset(lost, 0, sizeof(*lost));
	do {
		int answer;

		spin_lock_bh(&la->lock);
		answer = localack_give_up(la->engine, slot, STEP, localack_now_us(), lost);
		end = localack_slots_used(la->engine);
		spin_unlock_bh(&la->lock);
		run(la);
		if (answer == LOCALACK_FULL && tries++ < RESET_TRIES) {
			msleep(LOOK_MS);
			continue;
		}
		slot += STEP;
		cond_resched();
	} while (slot < end);
}

static u16 mtu_of(const char *name)
{
	struct net_device *dev;
	u16 mtu = 1500;

	rcu_read_lock();
	dev = dev_get_by_name_rcu(localack.net, name);
	if (dev)
		mtu = min_t(u32, READ_ONCE(dev->mtu), U16_MAX);
	rcu_read_unlock();
	return mtu;
}

static void free_memory(struct localack *la)
{
	int cpu;

	if (la->scratch)
		for_each_possible_cpu(cpu)
			kvfree(*per_cpu_ptr(la->scratch, cpu));
	free_percpu(la->scratch);
	vfree(la->leads);
	vfree(la->memory);
	put_net(la->net);
}

static int allocate(struct localack *la, size_t size)
{
	int cpu;

	la->memory = vzalloc(size);
	la->leads = vzalloc(array_size(flows, sizeof(*la->leads)));
	la->scratch = alloc_percpu(u8 *);
	if (!la->memory || !la->leads || !la->scratch)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		u8 *room = kvmalloc(LOCALACK_LONGEST, GFP_KERNEL);

		if (!room)
			return -ENOMEM;
		*per_cpu_ptr(la->scratch, cpu) = room;
	}
	return 0;
}

/* The number of a controller; `LOCALACK_PROVISIONED` for a name that means nothing. */
static u8 controller_number(const char *name)
{
	static const char *const names[] = { "reno", "cubic", "bbr" };
	u8 number;

	BUILD_BUG_ON(LOCALACK_RENO != 0 || LOCALACK_CUBIC != 1 || LOCALACK_BBR != 2 || LOCALACK_PROVISIONED != 3);
	for (number = 0; number < ARRAY_SIZE(names); number++)
		if (sysfs_streq(name, names[number]))
			break;
	return number;
}

/* What was acknowledged and cannot be delivered is never lost in silence. */
static void on_news(void *context, u64 now_us, const struct localack_news *news)
{
	if ((news->kind == LOCALACK_GIVEN_UP || news->kind == LOCALACK_RESET) && news->octets)
		pr_warn_ratelimited("%u octets of connection 0:%u.%u are lost: %s\n", news->octets, (u32)news->flow,
				    (u32)(news->flow >> 32),
				    news->kind == LOCALACK_RESET ? "their receiver has reset it" :
								   "it was given up, and reset at both ends");
}

static int make_engine(struct localack *la)
{
	const struct localack_callbacks callbacks = { la, localack_transmit, on_news };
	struct localack_settings *settings = &la->settings;
	size_t size;
	int err;

	localack_settings_default(settings);
	settings->flows = flows;
	settings->buffer = buffer;
	settings->paths = min(flows, 4096u);
	settings->super_segment = min(super_segment, 60000u);
	settings->mtu[0] = mtu_of(inner);
	settings->mtu[1] = mtu_of(outer);
	settings->serving.buffer_limit = flow_buffer;
	settings->serving.controller = rate ? LOCALACK_PROVISIONED : controller_number(controller);
	settings->serving.rate[0] = rate;
	settings->hold_ms = hold_ms;
	if (both)
		settings->serving.outer_to_inner = LOCALACK_LOCAL_ACK;
	settings->now_us = localack_now_us();
	la->names.inner = inner;
	la->names.outer = outer;
	get_random_bytes(settings->hash_key, sizeof(settings->hash_key));
	size = localack_memory_size(settings);
	if (!size)
		return -EINVAL;
	err = allocate(la, size);
	if (err)
		return err;
	if (localack_engine_new(settings, &callbacks, la->memory, size, &la->engine) != LOCALACK_OK)
		return -EINVAL;
	pr_info("between %s and %s: %u flows, %lu octets in custody, %zu octets of memory\n", inner, outer, flows,
		buffer, size);
	return 0;
}

static int __init localack_init(void)
{
	struct localack *la = &localack;
	int err;

	if (!inner || !outer || !*inner || !*outer || !strcmp(inner, outer)) {
		pr_err("inner= and outer= must name two devices\n");
		return -EINVAL;
	}
	if (localack_abi_version() != LOCALACK_ABI)
		return -ENOEXEC;
	spin_lock_init(&la->lock);
	__skb_queue_head_init(&la->outgoing);
	hrtimer_init(&la->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_SOFT);
	la->timer.function = on_timer;
	/* That of whoever loads the module. It stays as long as the module does. */
	la->net = get_net(current->nsproxy->net_ns);
	err = make_engine(la);
	if (err) {
		pr_err("flows=, buffer= or another parameter is out of range, or there is not so much memory: %d\n", err);
		goto free;
	}
	err = localack_control_start();
	if (err)
		goto free;
	err = localack_hook(la->net);
	if (err)
		goto stop;
	return 0;
stop:
	localack_control_stop();
free:
	free_memory(la);
	return err;
}

static void __exit localack_exit(void)
{
	struct localack *la = &localack;
	struct localack_custody custody;
	struct localack_lost lost;
	unsigned long patience = jiffies + msecs_to_jiffies(unload_ms);

	localack_control_stop();
	/* Nothing was in custody when the unload was allowed, if it was not forced; more may have come since. */
	localack_begin_drain(la);
	for (;;) {
		localack_ask_custody(la, &custody);
		if (!custody.owing || time_after(jiffies, patience))
			break;
		msleep(LOOK_MS);
	}
	if (custody.owing) {
		localack_reset_all(la, &lost);
		pr_warn("unloaded with octets in custody: %llu octets of %llu connections are lost, which were reset\n",
			lost.octets, lost.flows);
	}
	spin_lock_bh(&la->lock);
	la->closed = true;
	spin_unlock_bh(&la->lock);
	localack_unhook(la->net);
	/* Packets may still be on their way through the hook. */
	synchronize_net();
	hrtimer_cancel(&la->timer);
	__skb_queue_purge(&la->outgoing);
	pr_info("unloaded: %lld packets sent, %lld copied to be looked at, %lld odd, %lld without memory, %lld without a route, %lld timers\n",
		atomic64_read(&la->tally.sent), atomic64_read(&la->tally.copied), atomic64_read(&la->tally.odd),
		atomic64_read(&la->tally.no_memory), atomic64_read(&la->tally.no_route),
		atomic64_read(&la->tally.timers));
	pr_info("the lock was taken %llu times for packets and timers, and waited for %lld times\n", la->tally.locked,
		atomic64_read(&la->tally.waited));
	free_memory(la);
}

module_init(localack_init);
module_exit(localack_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("TCP local acknowledgement between two devices");
MODULE_VERSION("0.1.0");
