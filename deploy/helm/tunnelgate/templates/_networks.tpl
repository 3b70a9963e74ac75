{{/* A network or a single address as a NetworkPolicy has it. */}}
{{- define "tunnelgate.cidr" -}}
{{- if contains "/" . -}}{{ . }}{{- else -}}{{ . }}/{{ contains ":" . | ternary "128" "32" }}{{- end -}}
{{- end -}}

{{- define "tunnelgate.peers" -}}
{{- range . }}
- ipBlock: {cidr: {{ include "tunnelgate.cidr" . | quote }}}
{{- end }}
{{- end -}}

{{/* Where upstreams may be: upstream.allowed_ips, when a route has an upstream at all. */}}
{{- define "tunnelgate.upstreamPeers" -}}
{{- $upstream := .Values.config.upstream | default dict -}}
{{- $hasUpstreams := false -}}
{{- range .Values.config.routes -}}
{{- if or (kindIs "string" .) (dig "upstream" "" (. | default dict)) -}}{{- $hasUpstreams = true -}}{{- end -}}
{{- end -}}
{{- if $hasUpstreams -}}
{{- if $upstream.disable_ip_validation -}}
{{ include "tunnelgate.everywhere" . }}
{{- include "tunnelgate.peers" $upstream.allow_metadata }}
{{- else -}}
{{ include "tunnelgate.peers" ($upstream.allowed_ips | default (list "10.0.0.0/8" "172.16.0.0/12" "192.168.0.0/16")) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where issuers may be: oauth.allowed_ips, or everywhere, as far as the gate itself would go. */}}
{{- define "tunnelgate.issuerPeers" -}}
{{- $networks := dig "oauth" "allowed_ips" list .Values.config -}}
{{- if $networks -}}
{{ include "tunnelgate.peers" $networks }}
{{- else -}}
{{ include "tunnelgate.everywhere" . }}
{{- end -}}
{{- end -}}

{{/* Without the metadata services of clouds and link-local networks, where the gate connects to neither. */}}
{{- define "tunnelgate.everywhere" }}
- ipBlock:
    cidr: 0.0.0.0/0
    except: [100.100.100.200/32, 168.63.129.16/32, 169.254.0.0/16, 192.0.0.192/32, 240.0.0.0/4]
- ipBlock:
    cidr: "::/0"
    except:
      - "fd00:100::100:200/128"
      - "fd00:42::42/128"
      - "fd00:a9fe:a9fe::1/128"
      - "fd00:c1::a9fe:a9fe/128"
      - "fd00:ec2::/32"
      - "fd20:ce::254/128"
      - "fe80::/10"
      - "fec0::/10"
{{- end -}}

{{/* The ports of all URLs at which issuers are asked, separated by spaces; none where nobody is asked. */}}
{{- define "tunnelgate.issuerPorts" -}}
{{- $urls := list -}}
{{- range (dig "oauth" "issuers" list .Values.config) -}}
{{- $introspection := .introspection | default dict -}}
{{- if not (or .jwks_file .jwks_uri) -}}{{- $urls = append $urls .issuer -}}{{- end -}}
{{- if and .introspection (not $introspection.endpoint) -}}{{- $urls = append $urls .issuer -}}{{- end -}}
{{- $urls = append (append $urls .jwks_uri) $introspection.endpoint -}}
{{- end -}}
{{- range .Values.config.routes -}}
{{- if kindIs "map" . -}}
{{- range (.credentials | default dict) -}}
{{- if kindIs "map" . -}}{{- $urls = append (append $urls .issuer) .token_endpoint -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $ports := list -}}
{{- range (compact $urls) -}}
{{- $port := regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" -}}
{{- $ports = append $ports ($port | default (hasPrefix "http:" . | ternary "80" "443")) -}}
{{- end -}}
{{ $ports | uniq | sortAlpha | join " " }}
{{- end -}}

{{/* Call it with (list ports protocols). */}}
{{- define "tunnelgate.ports" -}}
{{- $protocols := index . 1 -}}
{{- range $port := index . 0 }}
{{- range $protocols }}
- {port: {{ $port }}, protocol: {{ . }}}
{{- end }}
{{- end }}
{{- end -}}
