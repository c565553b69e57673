{{/* Five fields of cron, as src/record/crontab.rs reads them: the first that a member would refuse. */}}
{{- define "random-generator.check.cron" -}}
{{- $months := list "JAN" "FEB" "MAR" "APR" "MAY" "JUN" "JUL" "AUG" "SEP" "OCT" "NOV" "DEC" -}}
{{- $days := list "SUN" "MON" "TUE" "WED" "THU" "FRI" "SAT" -}}
{{- $fields := list
  (dict "name" "minute" "least" 0 "most" 59 "names" list)
  (dict "name" "hour" "least" 0 "most" 23 "names" list)
  (dict "name" "day of month" "least" 1 "most" 31 "names" list)
  (dict "name" "month" "least" 1 "most" 12 "names" $months)
  (dict "name" "day of week" "least" 0 "most" 7 "names" $days)
-}}
{{- $texts := regexSplit " +" . -1 -}}
{{- range $n, $field := $fields -}}
{{- $begin := printf "draw.schedule is %q: its %s" $ $field.name -}}
{{- $items := without (splitList "," (index $texts $n)) "" -}}
{{- if not $items }}{{ fail (printf "%s chooses nothing; allowed is * for all" $begin) }}{{ end -}}
{{- range $item := $items -}}
{{- $parts := regexSplit "/" $item 2 -}}
{{- if gt (len $parts) 1 -}}
{{- if not (regexMatch "^0*[1-9][0-9]*$" (last $parts)) -}}
{{- fail (printf "%s has the step %q; allowed is a number from 1 on" $begin (last $parts)) -}}
{{- end -}}
{{- end -}}
{{- $ends := splitList "-" (first $parts) -}}
{{- if not (has (first $ends) (list "*" "?")) -}}
{{- $numbers := list -}}
{{- range $end := $ends -}}
{{- $number := -1 -}}
{{- if regexMatch "^[0-9]{1,9}$" $end }}{{ $number = atoi $end }}{{ end -}}
{{- range $index, $name := $field.names -}}
{{- if eq $name (upper $end) }}{{ $number = add $index $field.least | int }}{{ end -}}
{{- end -}}
{{- if or (lt $number $field.least) (gt $number $field.most) -}}
{{- $names := "" -}}
{{- with $field.names }}{{ $names = printf ", or %s to %s" (first .) (last .) }}{{ end -}}
{{- fail (printf "%s is %s, allowed are %d to %d%s" $begin $end $field.least $field.most $names) -}}
{{- end -}}
{{- $numbers = append $numbers $number -}}
{{- end -}}
{{- if or (gt (len $ends) 2) (gt (first $numbers) (last $numbers)) -}}
{{- fail (printf "%s is %q; allowed is a range such as %d-%d, whose end is not before its start" $begin (first $parts) $field.least $field.most) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "random-generator.check.comes" $texts -}}
{{- end -}}

{{/* Days that no month has: the least of them is above the last of each month. With ranges or steps it is left to the member. */}}
{{- define "random-generator.check.comes" -}}
{{- $numbers := "^[0-9,]+$" -}}
{{- $day := index . 2 }}{{ $month := index . 3 -}}
{{- if and (regexMatch $numbers $day) (regexMatch $numbers $month) (has (index . 4) (list "*" "?")) -}}
{{- $least := 31 -}}
{{- range without (splitList "," $day) "" }}{{ $least = min $least (atoi .) }}{{ end -}}
{{- $last := 0 -}}
{{- range without (splitList "," $month) "" }}{{ $last = max $last (index (list 31 29 31 30 31 30 31 31 30 31 30 31) (sub (atoi .) 1)) }}{{ end -}}
{{- if gt $least $last -}}
{{- fail (printf "draw.schedule is %q: no month of %s has a day of %s; allowed is a day that comes" (join " " .) $month $day) -}}
{{- end -}}
{{- end -}}
{{- end -}}
