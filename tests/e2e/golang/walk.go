// A program as Terraform and exporters are built: digitalocean/go-libvirt, which writes the wire by itself.
//
//	walk SOCKET URI NAME
//
// It watches the machine of that name while it starts and destroys it, and prints what it is told, a line each.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
)

func must(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func main() {
	socket, uri, name := os.Args[1], os.Args[2], os.Args[3]
	client := libvirt.NewWithDialer(dialers.NewLocal(dialers.WithSocket(socket)))
	must(client.ConnectToURI(libvirt.ConnectURI(uri)))

	own, err := client.ConnectGetUri()
	must(err)
	fmt.Println("uri", own)
	version, err := client.ConnectGetLibVersion()
	must(err)
	fmt.Println("version", version)

	domains, count, err := client.ConnectListAllDomains(1, 0)
	must(err)
	listed := false
	for _, domain := range domains {
		listed = listed || domain.Name == name
	}
	fmt.Println("listed", listed, len(domains) == int(count))

	domain, err := client.DomainLookupByName(name)
	must(err)
	fmt.Printf("uuid %x\n", domain.UUID)
	text, err := client.DomainGetXMLDesc(domain, libvirt.DomainXMLInactive)
	must(err)
	fmt.Println("described", strings.Contains(text, "<name>"+name+"</name>"))
	_, err = client.DomainLookupByName("nobody")
	fmt.Println("not found", libvirt.IsNotFound(err))

	events, err := client.LifecycleEvents(context.Background())
	must(err)
	must(client.DomainCreate(domain))
	state, _, err := client.DomainGetState(domain, 0)
	must(err)
	fmt.Println("state", state)
	figures, err := client.ConnectGetAllDomainStats([]libvirt.Domain{domain}, uint32(libvirt.DomainStatsState), 0)
	must(err)
	fmt.Println("figures", len(figures), figures[0].Dom.Name == name, figures[0].Params[0].Field, figures[0].Params[0].Value.I)
	must(client.DomainDestroy(domain))
	for seen := 0; seen < 2; {
		select {
		case event := <-events:
			if event.Dom.Name == name && (event.Event == int32(libvirt.DomainEventStarted) || event.Event == int32(libvirt.DomainEventStopped)) {
				fmt.Println("event", event.Event, event.Detail)
				seen++
			}
		case <-time.After(30 * time.Second):
			fmt.Println("no event")
			os.Exit(1)
		}
	}
	must(client.Disconnect())
	fmt.Println("done")
}
