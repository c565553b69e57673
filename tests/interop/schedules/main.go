// Command schedules reads schedules from standard input, one a line, as Kubernetes does for a CronJob, and prints a line for
// each: "refused" and why, or "accepted" and the seconds from each instant to the next.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/robfig/cron/v3"
)

func main() {
	from := flag.Int64("from", 0, "the Unix time after which instants are listed")
	until := flag.Int64("until", 0, "the Unix time of the last one")
	flag.Parse()

	lines := bufio.NewScanner(os.Stdin)
	output := bufio.NewWriter(os.Stdout)
	for lines.Scan() {
		schedule, err := cron.ParseStandard(lines.Text())
		if err != nil {
			fmt.Fprintf(output, "refused %v\n", err)
			continue
		}
		fmt.Fprint(output, "accepted")
		last := time.Unix(*from, 0).UTC()
		for {
			next := schedule.Next(last)
			if next.IsZero() || next.Unix() > *until {
				break
			}
			fmt.Fprintf(output, " %d", next.Unix()-last.Unix())
			last = next
		}
		fmt.Fprintln(output)
	}
	if err := output.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
