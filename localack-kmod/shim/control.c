// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* /dev/localack: whoever may write to it, root alone, administers the engine. A line of JSON is written, and one
 * read: the protocol is that of localack-tun. */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "shim.h"

/* Octets of a request, and of an answer. */
#define LONGEST_REQUEST (64 << 10)
#define LONGEST_ANSWER (512 << 10)

/* What one client has asked, and not read yet. */
struct client {
	struct mutex lock;
	size_t length;
	size_t read;
	u8 request[LONGEST_REQUEST];
	u8 answer[LONGEST_ANSWER];
};

static int on_open(struct inode *inode, struct file *file)
{
	struct client *client;

	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	client = vzalloc(sizeof(*client));
	if (!client)
		return -ENOMEM;
	mutex_init(&client->lock);
	file->private_data = client;
	return stream_open(inode, file);
}

static int on_release(struct inode *inode, struct file *file)
{
	vfree(file->private_data);
	return 0;
}

/* Lets the engine answer, and sends what comes of it. */
static size_t answer(struct localack *la, struct client *client, size_t length)
{
	struct sk_buff_head outgoing;
	u64 now_us;
	size_t used;
	bool taken;

	local_bh_disable();
	spin_lock(&la->lock);
	now_us = localack_now_us();
	used = localack_control(la->engine, now_us, &la->names, client->request, length, client->answer,
				sizeof(client->answer));
	localack_go_on(la, now_us);
	taken = localack_take_outgoing(la, &outgoing);
	spin_unlock(&la->lock);
	if (taken)
		localack_send_taken(la, &outgoing);
	local_bh_enable();
	return used;
}

/* One call is one request. */
static ssize_t on_write(struct file *file, const char __user *from, size_t length, loff_t *offset)
{
	struct client *client = file->private_data;
	ssize_t done = length;

	if (length > sizeof(client->request))
		return -EMSGSIZE;
	if (mutex_lock_interruptible(&client->lock))
		return -ERESTARTSYS;
	client->length = client->read = 0;
	if (copy_from_user(client->request, from, length))
		done = -EFAULT;
	else
		client->length = answer(&localack, client, length);
	if (done >= 0 && !client->length)
		done = -EMSGSIZE;
	mutex_unlock(&client->lock);
	return done;
}

static ssize_t on_read(struct file *file, char __user *to, size_t room, loff_t *offset)
{
	struct client *client = file->private_data;
	ssize_t octets;

	if (mutex_lock_interruptible(&client->lock))
		return -ERESTARTSYS;
	octets = min(room, client->length - client->read);
	if (copy_to_user(to, client->answer + client->read, octets))
		octets = -EFAULT;
	else
		client->read += octets;
	mutex_unlock(&client->lock);
	return octets;
}

static const struct file_operations operations = {
	.owner = THIS_MODULE,
	.open = on_open,
	.release = on_release,
	.write = on_write,
	.read = on_read,
	.llseek = no_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "localack",
	.mode = 0600,
	.fops = &operations,
};

int localack_control_start(void)
{
	return misc_register(&device);
}

void localack_control_stop(void)
{
	misc_deregister(&device);
}
