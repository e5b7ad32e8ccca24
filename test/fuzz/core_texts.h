/* SPDX-License-Identifier: BSD-2-Clause */
/* core_texts: the configurations and datagrams that fuzz_core combines. */
#ifndef FUZZ_CORE_TEXTS_H
#define FUZZ_CORE_TEXTS_H

/* ---- Configurations, which together use every key of a link, every condition and every action ---- */

static const char *const texts[] = {
    /* 0: the link, and what a radio does */
    "[device a]\naddress = 192.0.2.1, 192.0.2.2:40002\nlink = radio\nidentity = one\nnat_timeout = "
    "300ms\nnat_timeout_stream = 2s\nnat_refresh = both\n"
    "[device b]\nlistener = 192.0.2.200:5684\nlike = a\nlink = traced\n"
    "[device c]\naddress = 2001:db8::/32\n"
    "[link default]\nlatency = 20ms\njitter = 10ms\ndistribution = normal\ncorrelation = 30%\nloss = 10%\n"
    "reorder = 20%\nreorder_by = 2p\nreorder_wait = 300ms\nduplicate = 20%\ncorrupt = 10%\n"
    "[link radio]\nup.rate = 20kbit\ndown.rate = 50kbit\nqueue = 5p\npacket_time = 2ms\noverhead = 10\n"
    "loss_at = exit\nloss = 20%\nloss_run = 3\nwake_after = 500ms\ndown.wake_delay = next-up\nup.wake_delay "
    "= 10ms-1s\n"
    "[link traced]\ntrace = @LONG\norder = free\njitter = 5ms\ndistribution = file @TABLE\nmtu = 600B\nqueue "
    "= 300B\n"
    "[rule group]\ndo = permute 3 1 2\n"
    "[rule lose]\nprobability = 20%\ndo = drop\n",
    /* 1: the same names with other settings */
    "[device a]\naddress = 192.0.2.0/24\nidentity = two\nlink = traced\n"
    "[link default]\nlatency = 5ms\njitter = 5ms\ndistribution = pareto\norder = free\nup.duplicate = 50%\n"
    "gilbert_elliott = 10% 30% 90% 1%\nreorder = 50%\nreorder_by = 30ms\n"
    "[link traced]\nlike = default\ntrace = @SHORT\nqueue = 20ms\nwake_after = 200ms\nwake_delay = 50ms\n"
    "[rule group]\ndirection = either\ndo = permute 2 1\n"
    "[rule lose]\nscope = all\nnth = every 3\ndo = blackout 100ms up hold\n"
    "[rule again]\nnth = 4-\ndo = replay 1\n",
    /* 2: copies and holds */
    "[link default]\nlatency = 10ms\nrate = 100kbit\nqueue = 4p\nduplicate = 30%\nloss_at = exit\nloss = "
    "10%\n"
    "[rule again]\nnth = every 2\nlimit = 40\ndo = replay 7\ndo = replay client_hello\ndo = replay type:254\n"
    "[rule twice]\nsize = 1-40, 100-\ndo = duplicate 2 15ms\ndo = truncate 20\ndo = duplicate\n"
    "[rule bits]\nprobability = 50%\ndo = decoy 2\ndo = corrupt 3\ndo = corrupt 2 at 1\ndo = set 0 255\n"
    "[rule back]\nnth = 3, 9-11, every 7\ndo = hold 2\n[rule back2]\nnth = every 5\ndo = hold 1 either\ndo = "
    "delay 30ms\n"
    "[rule more]\ndirection = down\nlimit = 20\ndo = inject 00ff17\ndo = delay 1ms-40ms\n",
    /* 3: pack in every place where a datagram may wait */
    "[link default]\nwake_after = 100ms\ndown.wake_delay = next-up\nup.wake_delay = 50ms\nlatency = "
    "1ms\nloss = 5%\n"
    "loss_at = exit\nmtu = 200B\n[link other]\n"
    "[rule joint]\nprobability = 60%\ndo = duplicate\ndo = pack 30ms 180B\n"
    "[rule dark]\nnth = every 6\ndo = blackout 40ms hold\n"
    "[rule darker]\nnth = every 11\ndo = blackout 10ms-60ms down drop\n"
    "[rule free]\nnth = every 5\ndo = bypass\n"
    "[rule over]\nnth = every 9\ndo = link other\n[rule home]\nnth = every 10\ndo = link default\ndo = "
    "rebind address\n",
    /* 4: conditions */
    "[device a]\naddress = 192.0.2.1\n[device b]\n"
    "[rule hello]\ndtls = client_hello, server_hello, type:22\ndo = note\n"
    "[rule tries]\nattempt = 2-3\nmessage_seq = 0-2\ndo = drop\n[rule web]\ncoap = con, 2.05, block2\n"
    "coap_block = 0-9\nbytes = 0:40/c0, -1:00\nnth = 1-2 every 3\ndo = delay 2ms\n[rule enc]\ndtls = "
    "encrypted\ndtls_not = cid, unified\nepoch = "
    "1-\ndo = delay 5ms\n"
    "[rule rec]\nrecord = 0:0-3, 1:0\ndo = duplicate\n[rule bytes]\ncarried = 1KiB-2KiB\ndo = hold 3\n"
    "[rule life]\nafter = 1s\nuntil = 10s\nsession = 1, 3-5\ndevice = a, b\ndo = corrupt\n"
    "[rule plain]\ndtls = none\ndirection = up\nexpect = 1-3 each\ndo = note\n"
    "[rule after]\nsince = hello\nattempt = 1\nlimit = 3\ncarried = -500\ndo = drop\n"
    "[rule all]\nscope = all\nsince = after\nnth = 2\ndo = blackout 200ms both drop\n"
    "[rule tick]\nsince = tries\nat = 20ms\nevery = 300ms\nlimit = 4\ndo = note\n",
    /* 5: times, scope = all */
    "[device a]\naddress = 192.0.2.1\nidentity = one\n[device b]\nidentity = one\n"
    "[link default]\nlatency = 30ms\n[link slow]\nlatency = 300ms\njitter = 200ms\ndistribution = "
    "lognormal\norder = free\n"
    "[rule night]\nat = 100ms\nevery = 700ms\ndo = blackout 200ms hold\n"
    "[rule move]\nscope = all\nevery = 900ms-2s\nlimit = 5\ndo = link slow\ndo = note\n"
    "[rule dark]\nscope = all\nat = 1s-3s\ndo = blackout 1s-2s down drop\ndo = blackout 500ms up hold\n"
    "[rule tick]\nsince = dark\nscope = all\nevery = 400ms\nexpect = 1- each\ndo = link default\n"
    "[rule self]\nsince = night\nnth = 2\ndevice = a\ndo = note\n",
    /* 6: large groups that lose members, during a blackout and across both ways */
    "[link default]\nloss = 30%\nloss_at = exit\nrate = 1Mbit\n"
    "[rule ring]\ndirection = either\ndo = permute 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1\n"
    "[rule some]\nnth = every 3\nlimit = 200\ndo = drop\n[rule pairs]\ndirection = up\ndo = permute 2 1\n"
    "[rule dark]\nnth = every 13\ndo = blackout 20ms hold\n[rule tick]\nevery = 1s\ndo = blackout 50ms\ndo = "
    "rebind\n",
    /* 7: a bare link, everything held */
    "[link default]\norder = keep\njitter = 50ms\nlatency = 50ms\nreorder = 60%\nreorder_by = "
    "3p\nreorder_wait = 0\n"
    "[rule again]\ndo = replay 3\nprobability = 30%\n[rule back]\ndo = hold 2 either\nprobability = 50%\n"
    "[rule night]\nscope = all\nnth = every 20\ndo = blackout 300ms hold\n",
    /* 8: what the sessions of a device share */
    "[device a]\naddress = 192.0.2.1\nidentity = one\n"
    "[link default]\nshared = device\nrate = 1Mbit\nqueue = 20p\nloss = 20%\nloss_run = 3\nwake_after = "
    "100ms\ndown.wake_delay = next-up\nduplicate = 10%\njitter = 20ms\nlatency = 20ms\n[link cell]\nshared "
    "= all\nrate = 100kbit\nwake_after = 50ms\nwake_delay = next-up\ncorrelation = 50%\njitter = 5ms\n"
    "latency = 5ms\n"
    "[rule zone]\nscope = device\nnth = every 9\ndo = blackout 100ms hold\ndo = blackout 50ms-90ms up\n"
    "[rule over]\nscope = device\ncarried = 2KiB-\nsince = tick\nlimit = 3\ndo = link cell\ndo = note\n"
    "[rule tick]\nscope = device\nat = 100ms\nevery = 700ms\ndo = rebind\ndo = link default\n"
    "[rule back]\nscope = device\nsince = zone\nafter = 1s\nprobability = 50%\ndo = permute 3 1 2\ndo = "
    "duplicate 2\n[rule end]\nscope = device\nnth = every 25\ndo = blackout 0\n",
};

static const char *const records[] = {
    /* ClientHello of epoch 0, its retransmission, another random, ServerHello with a connection ID, … */
    "16fefd000000000000000000360100002a000000000000002afefd00000000000000000000000000000000000000000000000000"
    "00000"
    "000000000000002c0ac0100",
    "16fefd000000000000000100360100002a000000000000002afefd00000000000000000000000000000000000000000000000000"
    "00000"
    "000000000000002c0ac0100",
    "16fefd000000000000000000360100002a000000000000002afefd11111111111111111111111111111111111111111111111111"
    "11111"
    "111111111000002c0ac0100",
    "16fefd000000000000000100390200002d000100000000002dfefd22222222222222222222222222222222222222222222222222"
    "22222"
    "22222222200c0ac00000500360001040000",
    "14fefd000000000000000300010116fefd000100000000000000180001000000000000aabbccddeeff00112233445566778899",
    "17fefd0001000000000001000400112233",
    "19fefd00010000000000020411223344000455667788",
    "15fefd00000000000005000202 28",
    "2c00010010000102030405060708090a0b0c0d0e0f",
    "fefefd000100000000000900021234",
    "4001000a",
    "",
};

#endif
