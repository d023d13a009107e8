# Sys::Virt, as Debian has it, against the driver at URI: looks at domain NAME, defines, starts and removes one of its own.
use strict;
use warnings;
use Sys::Virt;
use Sys::Virt::Domain;
use Sys::Virt::Error;

my ($uri, $name) = @ARGV;
my $connection = Sys::Virt->new(uri => $uri);
sub check { my ($what, $true) = @_; $true or die "$what\n"; print "$what\n"; }

check("type and version", length $connection->get_type && $connection->get_version > 0);
check("listed", scalar grep { $_->get_name eq $name } $connection->list_all_domains);
my $looked_at = $connection->get_domain_by_name($name);
check("found by uuid", $connection->get_domain_by_uuid($looked_at->get_uuid)->get_name eq $name);
check("shut off", $looked_at->get_info->{state} == Sys::Virt::Domain::STATE_SHUTOFF);

(my $xml = $looked_at->get_xml_description) =~ s{<name>.*?</name>}{<name>sys-virt</name>};
$xml =~ s{<uuid>.*?</uuid>}{};
my $domain = $connection->define_domain($xml);
$domain->create(Sys::Virt::Domain::START_PAUSED);
my ($state, $reason) = $domain->get_state;
check("paused", $state == Sys::Virt::Domain::STATE_PAUSED);
$domain->resume;
check("running", ($domain->get_state)[0] == Sys::Virt::Domain::STATE_RUNNING);
$domain->destroy;
$domain->undefine(Sys::Virt::Domain::UNDEFINE_NVRAM);

eval { $connection->get_domain_by_name("sys-virt") };
check("gone, with libvirt's code", ref $@ eq "Sys::Virt::Error" && $@->code == Sys::Virt::Error::ERR_NO_DOMAIN);
print "ok\n";
