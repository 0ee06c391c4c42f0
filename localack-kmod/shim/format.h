/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Before every other header: what lines of the kernel's log begin with. */
#define pr_fmt(text) "localack: " text
