#!/usr/bin/env bash
# robfig/cron v3.0.1, which reads the schedules of Kubernetes' CronJobs: some slips are accepted, and mean something else.
#
# Behind a star everything up to the step is passed over, so `*-5` is each minute and not the first six. A list may be empty:
# `,` is accepted and never comes. A period below a second is a second, and so is a negative one: `@every -1h` runs each second.
#
# Seen, the first three times from 2026-01-01T00:00:00Z on:
#   "*-5 * * * *": 00:01:00 00:02:00 00:03:00
#   "*-5-x * * * *": 00:01:00 00:02:00 00:03:00
#   ", * * * *": never
#   "@every -1h": 00:00:01 00:00:02 00:00:03
#   "5- * * * *": refused
set -euo pipefail
folder="$(mktemp -d)"
# Go keeps what it downloads read-only.
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
export GOPATH="$folder/go" GOFLAGS=-mod=mod
cat >go.mod <<'MOD'
module robfig-cron

go 1.21

require github.com/robfig/cron/v3 v3.0.1
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
)

func main() {
	for _, text := range []string{"*-5 * * * *", "*-5-x * * * *", ", * * * *", "@every -1h", "5- * * * *"} {
		fmt.Printf("%q:", text)
		schedule, err := cron.ParseStandard(text)
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for times := 0; err == nil && times < 3; times++ {
			if at = schedule.Next(at); at.IsZero() {
				fmt.Print(" never")
				break
			}
			fmt.Print(" ", at.Format(time.TimeOnly))
		}
		if err != nil {
			fmt.Print(" refused")
		}
		fmt.Println()
	}
}
GO
go run . >seen
diff seen - <<'SEEN'
"*-5 * * * *": 00:01:00 00:02:00 00:03:00
"*-5-x * * * *": 00:01:00 00:02:00 00:03:00
", * * * *": never
"@every -1h": 00:00:01 00:00:02 00:00:03
"5- * * * *": refused
SEEN
echo "still so"
