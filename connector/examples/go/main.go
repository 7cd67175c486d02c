// A connector of the DCR bridge in Go, with an identity provider in memory.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "dcr-connector-go/gen/dcr/connector/v1"
	"dcr-connector-go/idp"
)

const (
	// The clients that are in the identity provider from the start: the connector's credential, and one that somebody
	// made by hand.
	ownClient  = "dcr-connector"
	handmade   = "made-by-hand"
	drainCalls = 10 * time.Second
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9000", "where to serve the gateway")
	tokenListen := flag.String("token-listen", "127.0.0.1:9080", "where the identity provider's token endpoint is")
	latency := flag.Duration("idp-latency", 10*time.Millisecond, "how long the identity provider thinks, twice per change")
	settle := flag.Duration("settle-after", 2*time.Second, "how long after an abort a client may still appear")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	if err := run(ctx, *listen, *tokenListen, *latency, *settle); err != nil {
		slog.Error(err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, tokenListen string, latency, settle time.Duration) error {
	provider := &idp.Provider{Latency: latency}
	for _, id := range []string{ownClient, handmade} {
		if _, _, err := provider.Create(ctx, idp.Client{ID: id, Name: id}); err != nil {
			return err
		}
	}
	calls, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	tokens, err := net.Listen("tcp", tokenListen)
	if err != nil {
		return err
	}
	go func() {
		server := &http.Server{Handler: provider, ReadTimeout: 5 * time.Second}
		slog.Error("the token endpoint has ended", "error", server.Serve(tokens))
	}()
	// For whoever started it with port 0.
	fmt.Printf("http://%s http://%s/token\n", calls.Addr(), tokens.Addr())
	return serve(ctx, calls, newService(provider, ownClient, settle))
}

// serve answers calls until ctx ends, then those that have begun, and then undoes what must be.
func serve(ctx context.Context, listener net.Listener, connector *service) error {
	server := grpc.NewServer(
		grpc.UnaryInterceptor(logged),
		// The gateway pings every 30 s while calls are open; grpc-go hangs up on more than one ping in 5 minutes, unless it
		// is told that its callers may.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second}),
		// So that callers spread over new replicas.
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 5 * time.Minute}),
		// After the one above, which therefore logs its refusals too.
		grpc.ChainUnaryInterceptor(inTime),
		// What the contract calls a message; grpc-go takes 4 MiB.
		grpc.MaxRecvMsgSize(1<<20),
	)
	pb.RegisterConnectorServiceServer(server, connector)
	healthy := health.NewServer()
	healthy.SetServingStatus(pb.ConnectorService_ServiceDesc.ServiceName, grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(server, healthy)
	context.AfterFunc(ctx, func() {
		healthy.Shutdown()
		// A graceful stop waits for callers that never end; it is not waited for longer than this.
		time.AfterFunc(drainCalls, server.Stop)
		server.GracefulStop()
	})
	if err := server.Serve(listener); err != nil {
		return err
	}
	connector.tasks.Wait()
	return nil
}

// logged writes a line for each call, and never what is in it.
func logged(ctx context.Context, request any, info *grpc.UnaryServerInfo, answer grpc.UnaryHandler) (any, error) {
	begin := time.Now()
	response, err := answer(ctx, request)
	call := []any{
		"call", path.Base(info.FullMethod),
		"request_id", metadata.ValueFromIncomingContext(ctx, "x-request-id"),
		"code", status.Code(err).String(),
		"took", time.Since(begin),
	}
	if err != nil {
		call = append(call, "message", status.Convert(err).Message())
	}
	slog.Info("answered", call...)
	return response, err
}
