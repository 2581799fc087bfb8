/* A packet tunnel provider over tunnel.c and io-gcd: everything of the node runs
 * on one serial queue of libdispatch, and the system's packets go to it there.
 *
 * It is source to read and to take into an Xcode project (README.md); nothing of
 * ours builds it. */
#import <NetworkExtension/NetworkExtension.h>

#include <arpa/inet.h>

#include <remora/gcd.h>
#include <remora/posix.h>

#include "tunnel.h"

/* Of the 50 MB: what the node may take.  The rest is for this process's code,
 * Foundation's objects and the packets that are on their way to it. */
static const size_t kNodeBudget = (size_t)36 << 20;

@interface PacketTunnelProvider : NEPacketTunnelProvider
@end

@implementation PacketTunnelProvider {
    dispatch_queue_t _queue;
    rmr_gcd *_gcd;
    tunnel *_tunnel;
    BOOL _isReading;
    void (^_started)(NSError *);
    void (^_stopped)(void);
}

/* ---- what the C half tells; on the queue --------------------------------- */

static void onUp(void *user, const rmr_addr *ips, size_t n)
{
    [(__bridge PacketTunnelProvider *)user upWith:ips count:n];
}

static void onPacket(void *user, rmr_bytes packet)
{
    /* Copied here, and freed with the pool of this turn: packets must not
     * gather, or they are what the limit is spent on. */
    @autoreleasepool {
        PacketTunnelProvider *me = (__bridge PacketTunnelProvider *)user;
        NSData *data = [NSData dataWithBytes:packet.ptr length:packet.len];
        int family = packet.ptr[0] >> 4 == 6 ? AF_INET6 : AF_INET;
        [me.packetFlow writePackets:@[ data ] withProtocols:@[ @(family) ]];
    }
}

static void onTrouble(void *user, const char *text, bool isEnd)
{
    PacketTunnelProvider *me = (__bridge PacketTunnelProvider *)user;
    NSError *error = [NSError
        errorWithDomain:@"remora"
                   code:1
               userInfo:@{NSLocalizedDescriptionKey : @(text)}];
    NSLog(@"remora: %s", text);
    if (isEnd)
        [me cancelTunnelWithError:error];
}

static void onEnd(void *user, rmr_err result)
{
    PacketTunnelProvider *me = (__bridge PacketTunnelProvider *)user;
    (void)result;
    if (me->_stopped)
        me->_stopped();
    me->_stopped = nil;
}

/* ---- the interface -------------------------------------------------------- */

static NSString *textOf(const rmr_addr *a)
{
    char text[RMR_ADDR_TEXT_MAX];
    return @(rmr_addr_ip_text(a, text));
}

/* Own addresses; routes to the tailnet alone; names by 100.100.100.100, which
 * the node answers itself. */
- (NEPacketTunnelNetworkSettings *)settingsFor:(const rmr_addr *)ips
                                         count:(size_t)n
{
    NEPacketTunnelNetworkSettings *s = [[NEPacketTunnelNetworkSettings alloc]
        initWithTunnelRemoteAddress:@"127.0.0.1"];
    for (size_t i = 0; i < n; i++) {
        if (ips[i].family == RMR_AF_INET) {
            s.IPv4Settings = [[NEIPv4Settings alloc]
                initWithAddresses:@[ textOf(&ips[i]) ]
                      subnetMasks:@[ @"255.255.255.255" ]];
            s.IPv4Settings.includedRoutes = @[ [[NEIPv4Route alloc]
                initWithDestinationAddress:@"100.64.0.0"
                                subnetMask:@"255.192.0.0"] ];
        } else {
            s.IPv6Settings = [[NEIPv6Settings alloc]
                   initWithAddresses:@[ textOf(&ips[i]) ]
                networkPrefixLengths:@[ @128 ]];
            s.IPv6Settings.includedRoutes = @[ [[NEIPv6Route alloc]
                initWithDestinationAddress:@"fd7a:115c:a1e0::"
                       networkPrefixLength:@48] ];
        }
    }
    s.MTU = @1280; /* rmr_node_send_packet's */
    s.DNSSettings = [[NEDNSSettings alloc] initWithServers:@[
        @"100.100.100.100"
    ]];
    s.DNSSettings.matchDomains = @[ @"ts.net" ];
    return s;
}

- (void)upWith:(const rmr_addr *)ips count:(size_t)n
{
    [self setTunnelNetworkSettings:[self settingsFor:ips count:n]
                 completionHandler:^(NSError *error) {
                     dispatch_async(self->_queue, ^{
                         if (self->_started)
                             self->_started(error);
                         self->_started = nil;
                         if (!error && !self->_isReading)
                             [self readPackets];
                     });
                 }];
}

/* One batch at a time: the next is asked for when the node has taken this one,
 * so that what waits, waits in the system and not here. */
- (void)readPackets
{
    _isReading = YES;
    [self.packetFlow readPacketsWithCompletionHandler:^(
                         NSArray<NSData *> *packets,
                         NSArray<NSNumber *> *protocols) {
        (void)protocols;
        dispatch_async(self->_queue, ^{
            if (!self->_tunnel)
                return;
            for (NSData *p in packets)
                tunnel_send(self->_tunnel, rmr_posix_now(),
                            rmr_bytes_of(p.bytes, p.length));
            rmr_gcd_wake(self->_gcd);
            [self readPackets];
        });
    }];
}

/* ---- life ----------------------------------------------------------------- */

- (rmr_err)openWith:(NSDictionary *)options
{
    NSURL *dir = [[NSFileManager defaultManager]
        containerURLForSecurityApplicationGroupIdentifier:options[@"group"]];
    rmr_gcd_config gc;
    rmr_gcd_config_init(&gc, sizeof gc);
    gc.dir = [dir URLByAppendingPathComponent:@"remora"].fileSystemRepresentation;
    gc.queue = _queue;
    gc.user = (__bridge void *)self;
    gc.on_end = onEnd;
    rmr_err err = rmr_gcd_new(&_gcd, &gc);
    if (err != RMR_OK)
        return err;
    NSData *ca = options[@"ca"]; /* PEM: the system's store is not asked */
    tunnel_config tc = {
        .control_url = [options[@"url"] UTF8String],
        .auth_key = [options[@"key"] UTF8String], /* nil: from the state */
        .hostname = [options[@"name"] UTF8String],
        .ca_pem = rmr_bytes_of(ca.bytes, ca.length),
        .memory_max = kNodeBudget,
        .env = rmr_posix_env(),
        .user = (__bridge void *)self,
        .on_up = onUp,
        .on_packet = onPacket,
        .on_trouble = onTrouble,
    };
    err = tunnel_new(&_tunnel, &tc, rmr_posix_now());
    if (err != RMR_OK)
        return err;
    rmr_machine m = tunnel_machine(_tunnel);
    return rmr_gcd_add(_gcd, &m);
}

- (void)startTunnelWithOptions:(NSDictionary *)options
             completionHandler:(void (^)(NSError *))done
{
    NETunnelProviderProtocol *p =
        (NETunnelProviderProtocol *)self.protocolConfiguration;
    NSDictionary *all = options ?: p.providerConfiguration;
    _queue = dispatch_queue_create("remora", DISPATCH_QUEUE_SERIAL);
    dispatch_async(_queue, ^{
        rmr_err err = [self openWith:all];
        if (err == RMR_OK) {
            self->_started = [done copy]; /* told when the node is up */
            return;
        }
        done([NSError errorWithDomain:@"remora"
                                 code:err
                             userInfo:@{
                                 NSLocalizedDescriptionKey :
                                     @(rmr_node_err_text(err))
                             }]);
    });
}

- (void)stopTunnelWithReason:(NEProviderStopReason)reason
           completionHandler:(void (^)(void))done
{
    (void)reason;
    dispatch_async(_queue, ^{
        self->_stopped = ^{
            /* Behind on_end, in which the adapter may not be freed. */
            dispatch_async(self->_queue, ^{
                rmr_gcd_free(self->_gcd);
                tunnel_free(self->_tunnel);
                self->_gcd = NULL;
                self->_tunnel = NULL;
                done();
            });
        };
        if (self->_gcd)
            rmr_gcd_request_stop(self->_gcd); /* onEnd follows */
        else
            self->_stopped();
    });
}

/* The device sleeps: there is nothing to do.  The node's clock goes on, and it
 * looks at its paths anew when a turn comes late. */
- (void)sleepWithCompletionHandler:(void (^)(void))done
{
    done();
}

- (void)wake
{
    if (_gcd)
        rmr_gcd_wake(_gcd);
}

@end
