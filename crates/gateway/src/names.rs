//! Names of GraphQL types and fields, derived from those of Kubernetes.

/// Words that are capitalized wherever they are part of a name.
const ACRONYMS: &str = " ACK ACL ADSL AES ANSI API ARP ATM BGP BSS CHAP CIDR CIR CLI CMOS CPE CPU CRC CRT CSMA DCE DEC \
    DES DHCP DMI DNS DRAM DSL DSLAM DTE EHA EIA EIGRP EOF ESS FCC FCS FDDI FTP GBIC GEPOF HDLC HTML HTTP HTTPS IANA \
    ICMP ID IDF IDS IEEE IETF IMAP IP IPS ISDN ISP JSON JWT LACP LAN LAPB LAPF LLC MAC MAN MC MDF MIB MPLS MTU NAC NAT \
    NBMA NIC NRZ NRZI NVRAM OIDC OK OSI OSPF OUI PAP PAT PC PCM PDU PIM POP3 POTS PPP PPTP PTT PVST RAM RARP RCP RFC \
    RIP RLL ROM RSTP RTP SDLC SFD SFP SLARP SLIP SMTP SNA SNAP SNMP SOF SQL SRAM SSH SSID STP SYN TDM TFTP TIA TOFU \
    UDP URI URL USB UTF8 UTP UUID VC VLAN VLSM VPN W3C WAN WEP WPA WWW CCITT ";

/// Endings of singular words with their plurals, as the reference gateway has them; the first match counts.
const PLURALS: &str = "person people, child children, human humans, man men, foot feet, goose geese, tooth teeth, \
    mouse mice, series series, species species, fish fish, sheep sheep, deer deer, moose moose, \
    police police, aircraft aircraft, news news, money money, media media, information information, \
    equipment equipment, criterion criteria, phenomenon phenomena, lexicon lexica, taxon taxa, \
    quota quotas, agenda agendas, formula formulas, dwarf dwarfs, thief thieves, eaf eaves, oaf oaves, \
    rf rves, lf lves, fe ves, bureau bureaus, eau eaux, stadium stadiums, medium media, \
    curriculum curriculums, ium ia, seum seums, eum ea, dum da, llum lla, imum ima, trum tra, atum ata, \
    antum anta, entum enta, focus foci, locus loci, nucleus nuclei, radius radii, cactus cacti, \
    alumnus alumni, syllabus syllabi, octopus octupuses, corpus corpora, genus genera, us uses, \
    apex apices, codex codices, index indices, latex latices, vertex vertices, vortex vortices, \
    appendix appendices, radix radices, helix helices, trix trices, x xes, alias aliases, axis axes, \
    basis bases, crisis crises, oasis oases, genesis geneses, thesis theses, testis testes, \
    gnosis gnoses, opsis opses, ysis yses, ss sses, ch ches, sh shes, topaz topazes, ez ezzes, iz izzes, \
    tz tzes, zz zzes, buffalo buffaloes, potato potatoes, tomato tomatoes, ano anos, io ios, lo los, \
    to tos, oo oos, o oes, ay ays, ey eys, iy iys, oy oys, quy quies, uy uys, y ies";

/// The plural of a kind, as in the list fields of the reference gateway.
pub fn plural(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    let mut pairs = PLURALS.split(", ").filter_map(|pair| pair.split_once(' '));
    let Some((ending, becomes)) = pairs.find(|(ending, _)| lower.ends_with(*ending)) else {
        return if lower.ends_with('s') { kind.to_owned() } else { format!("{kind}s") };
    };
    let (stem, matched) = kind.split_at(kind.len() - ending.len());
    let is_capital = matched.starts_with(|c: char| c.is_ascii_uppercase());
    let becomes = if is_capital && ending.len() > 2 { capital(becomes) } else { becomes.to_owned() };
    format!("{stem}{becomes}")
}

/// The resource of a kind in documents without it, as Kubernetes guesses it.
pub fn guessed_resource(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    match lower.as_str() {
        "endpoints" => return lower,
        _ if lower.ends_with('s') => return format!("{lower}es"),
        _ => {}
    }
    match lower.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{lower}s"),
    }
}

/// A valid name: other characters are replaced, and a leading digit gets a prefix.
pub fn sanitized(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let clean: String = name.chars().map(allowed).collect();
    // Names that begin with two underscores are reserved.
    let clean = if clean.starts_with("__") { format!("_{}", clean.trim_start_matches('_')) } else { clean };
    if clean.is_empty() || clean.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{clean}")
    } else {
        clean
    }
}

/// Returns `true` if a name is valid as it is.
pub fn is_natural(name: &str) -> bool {
    !name.is_empty() && sanitized(name) == name
}

/// The parts between underscores, each with an initial capital; acronyms in capitals.
pub fn pascal(name: &str) -> String {
    name.split('_').filter(|part| !part.is_empty()).map(pascal_part).collect()
}

fn pascal_part(part: &str) -> String {
    let upper = part.to_ascii_uppercase();
    if ACRONYMS.contains(&format!(" {upper} ")) { upper } else { capital(part) }
}

/// A word with an initial capital.
pub fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map_or_else(String::new, |first| format!("{}{}", first.to_ascii_uppercase(), letters.as_str()))
}

/// A short hash of a raw name, to tell derived names apart.
pub fn mark(raw: &str) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(raw.as_bytes());
    digest.iter().take(4).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Orders versions: stable before beta before alpha, then by number.
pub fn maturity(version: &str) -> (u8, u64, u64) {
    let number = |text: &str| text.parse().unwrap_or_default();
    let rest = version.strip_prefix('v').unwrap_or_default();
    for (stage, word) in [(1, "beta"), (0, "alpha")] {
        if let Some((major, minor)) = rest.split_once(word) {
            return (stage, number(major), number(minor));
        }
    }
    (2, number(rest), 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plurals_are_those_of_the_reference() {
        let table = [
            ("Pod", "Pods"),
            ("Ingress", "Ingresses"),
            ("NetworkPolicy", "NetworkPolicies"),
            ("ComponentStatus", "ComponentStatuses"),
            ("CSIDriver", "CSIDrivers"),
            ("Database", "Databases"),
            ("Index", "Indices"),
            ("MyIndex", "MyIndices"),
            ("Endpoints", "Endpoints"),
            ("PodMetrics", "PodMetrics"),
            ("Gateway", "Gateways"),
            ("Child", "Children"),
            ("ServiceMesh", "ServiceMeshes"),
            ("DNS", "DNS"),
            ("EventBus", "EventBuses"),
            ("Radius", "Radii"),
            ("Diagnosis", "Diagnoses"),
            ("FeatureMatrix", "FeatureMatrices"),
            ("Complex", "Complexes"),
            ("Repo", "Repoes"),
            ("Scenario", "Scenarios"),
            ("Foo", "Foos"),
            ("SalesMan", "SalesMen"),
            ("Self", "Selves"),
            ("Spectrum", "Spectra"),
            ("Quartz", "Quartzes"),
            ("ResourceQuota", "ResourceQuotas"),
            ("ClickHouse", "ClickHouses"),
            ("Canvas", "Canvas"),
        ];
        for (kind, expected) in table {
            assert_eq!(plural(kind), expected);
        }
    }

    #[test]
    fn resources_are_guessed_as_kubernetes_does() {
        let table =
            [("Pod", "pods"), ("Ingress", "ingresses"), ("Policy", "policies"), ("Endpoints", "endpoints")];
        for (kind, expected) in table {
            assert_eq!(guessed_resource(kind), expected);
        }
    }

    #[test]
    fn groups_become_types_and_fields() {
        let table = [
            ("apps_v1", "AppsV1"),
            ("v1", "V1"),
            ("networking_k8s_io_v1", "NetworkingK8sIoV1"),
            ("dns_example_com_v1", "DNSExampleComV1"),
            ("apps_v1beta1", "AppsV1beta1"),
            ("oidc_example_com_v1", "OIDCExampleComV1"),
            ("pop_example_com_v1", "PopExampleComV1"),
        ];
        for (name, expected) in table {
            assert_eq!(pascal(name), expected);
        }
        assert_eq!(sanitized("1password.com"), "_1password_com");
        assert_eq!(sanitized("$ref"), "_ref");
        assert_eq!(sanitized("x-kubernetes-a"), "x_kubernetes_a");
    }

    proptest! {
        #[test]
        fn every_name_becomes_one_of_the_language(name in ".*") {
            let clean = sanitized(&name);
            prop_assert!(apollo_compiler::Name::new(&clean).is_ok() && !clean.starts_with("__"), "{clean}");
            prop_assert_eq!(sanitized(&clean), clean);
        }

        #[test]
        fn every_kind_has_a_plural(kind in "[A-Z][a-zA-Z0-9]{0,20}") {
            prop_assert!(!plural(&kind).is_empty());
        }
    }

    #[test]
    fn the_most_mature_version_counts() {
        let mut versions = ["v1", "v2alpha1", "v1beta2", "v2", "v1beta10", "v1alpha1"];
        versions.sort_by_key(|version| maturity(version));
        assert_eq!(versions, ["v1alpha1", "v2alpha1", "v1beta2", "v1beta10", "v1", "v2"]);
    }
}
