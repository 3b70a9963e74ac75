{{/* The gate's file: what `config` has, and what only the chart can know. */}}
{{- define "tunnelgate.configuration" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "listen_addr" (include "tunnelgate.listenAddress" .) -}}
{{- if .Values.certificate.secretName -}}
{{- $tls := dict "cert_file" "/etc/tunnelgate/certificate/tls.crt" "key_file" "/etc/tunnelgate/certificate/tls.key" -}}
{{- $_ := set $config "tls" (mergeOverwrite ($config.tls | default dict) $tls) -}}
{{- else -}}
{{- $_ := unset $config "tls" -}}
{{- end -}}
{{- if and .Values.connector.enabled (not $config.clients) -}}
{{- $_ := set $config "clients" (dict "allowed_ips" (list "127.0.0.1")) -}}
{{- end -}}
{{- if .Values.sealingKeys.secretName -}}
{{- $files := list -}}
{{- range .Values.sealingKeys.keys -}}
{{- $files = append $files (printf "/etc/tunnelgate/sealing-keys/%s" .) -}}
{{- end -}}
{{- $_ := set $config "sealing_keys" $files -}}
{{- end -}}
{{ toYaml $config }}
{{- end -}}

{{/* Beside the connector nobody else can connect, whatever the network's policies are. */}}
{{- define "tunnelgate.listenAddress" -}}
{{ .Values.connector.enabled | ternary "127.0.0.1:8080" ":8080" }}
{{- end -}}

{{/* shutdown_timeout in seconds: a number, or a text such as 1h30m. */}}
{{- define "tunnelgate.shutdownSeconds" -}}
{{- $text := hasKey .Values.config "shutdown_timeout" | ternary .Values.config.shutdown_timeout "30s" | toString -}}
{{- if regexMatch "^[0-9.]+$" $text -}}
{{ $text | float64 | ceil | int }}
{{- else -}}
{{- $hours := regexFind "[0-9]+h" $text | trimSuffix "h" | int -}}
{{- $minutes := regexFind "[0-9]+m" $text | trimSuffix "m" | int -}}
{{- $seconds := regexFind "[0-9]+s" $text | trimSuffix "s" | int -}}
{{ add (mul $hours 3600) (mul $minutes 60) $seconds }}
{{- end -}}
{{- end -}}

{{/* How long cloudflared waits for requests in flight; it takes three minutes at most. */}}
{{- define "tunnelgate.connectorSeconds" -}}
{{ min 180 (include "tunnelgate.shutdownSeconds" . | int) }}
{{- end -}}

{{- define "tunnelgate.isReplicated" -}}
{{- $most := .Values.autoscaling.enabled | ternary .Values.autoscaling.maxReplicas .Values.replicas | int -}}
{{- if gt $most 1 -}}true{{- end -}}
{{- end -}}
