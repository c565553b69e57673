// Command elector stands for a Lease with client-go's LeaderElector, as most controllers do, and tells what it believes:
// a line of JSON for each event on standard output, with the time in microseconds since 1970.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// event is one line of output.
type event struct {
	At int64 `json:"at"`
	// Event is leading, stopped or observed.
	Event string `json:"event"`
	// Holder is the identity observed.
	Holder *string `json:"holder,omitempty"`
}

// report writes events. Callbacks of an elector run beside each other.
type report struct {
	mutex sync.Mutex
	lines *json.Encoder
}

func (r *report) tell(name string, holder *string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if err := r.lines.Encode(event{time.Now().UnixMicro(), name, holder}); err != nil {
		fail(err)
	}
}

// office is what only the leader may do. Whoever holds its lock is doing it.
type office struct {
	sync.Mutex
	report *report
	asked  context.Context
}

// hold works until the leadership ends, or the process is asked to end.
func (o *office) hold(leading context.Context) {
	o.Lock()
	defer o.Unlock()
	if o.asked.Err() != nil {
		return
	}
	o.report.tell("leading", nil)
	select {
	case <-leading.Done():
	case <-o.asked.Done():
	}
	o.report.tell("stopped", nil)
}

func main() {
	var (
		kubeconfig = flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "how to reach the API server")
		namespace  = flag.String("namespace", "default", "of the Lease")
		name       = flag.String("lease", "", "the Lease")
		identity   = flag.String("identity", "", "its holder's name, while this one is")
		duration   = flag.Duration("lease-duration", 15*time.Second, "LeaseDuration")
		deadline   = flag.Duration("renew-deadline", 10*time.Second, "RenewDeadline")
		retry      = flag.Duration("retry-period", 2*time.Second, "RetryPeriod")
		release    = flag.Bool("release-on-cancel", false, "ReleaseOnCancel")
	)
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fail(err)
	}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, *namespace, *name,
		resourcelock.ResourceLockConfig{Identity: *identity}, config, *deadline)
	if err != nil {
		fail(err)
	}

	asked, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	report := &report{lines: json.NewEncoder(os.Stdout)}
	office := &office{report: report, asked: asked}

	// ReleaseOnCancel releases before it tells: what the Lease guards has to have ended before the elector is cancelled.
	standing, cancel := context.WithCancel(context.Background())
	go func() {
		<-asked.Done()
		office.Lock()
		cancel()
	}()

	// Run returns when the leadership is lost. A controller ends then, and is started again; this one stands again.
	for standing.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock:            lock,
			LeaseDuration:   *duration,
			RenewDeadline:   *deadline,
			RetryPeriod:     *retry,
			ReleaseOnCancel: *release,
			Name:            *name,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: office.hold,
				OnStoppedLeading: func() {},
				OnNewLeader:      func(holder string) { report.tell("observed", &holder) },
			},
		})
		if err != nil {
			fail(err)
		}
		elector.Run(standing)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
