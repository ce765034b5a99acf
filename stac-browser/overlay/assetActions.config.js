// No "open in …" buttons: each of upstream's would hand an asset's address to a third party.
export default {};
